"""Continuations of rows by a language model."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.decoding import sample
from seqkit.options import integer
from seqkit.tasks.language_model.encoders import check_takes_state
from seqkit.tasks.prediction import evaluation

if TYPE_CHECKING:
    from seqkit.tasks.language_model.module import LanguageModel


def generate(
    model: "LanguageModel",
    prompts: Sequence[Any],
    max_tokens: int,
    *,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
    may_end: bool,
) -> list[Any]:
    """Continue rows, all in one batch; see :meth:`LanguageModel.generate`."""
    if isinstance(prompts, str):
        raise TypeError(
            f"prompts={prompts!r:.60}: must be a list of prompts; put a single one into a list: [prompt]"
        )
    integer("max_tokens", max_tokens, 0)
    if not prompts:
        raise ValueError("generate needs at least one prompt; an empty one, [''], begins a row")
    check_takes_state(model.encoder)
    generator = torch.Generator(model.device).manual_seed(seed)
    next_token = partial(sample, generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
    # One by one, as a column of empty lists has no type.
    encoded = [model.vocabulary.encode([prompt])[0] if len(prompt) else [] for prompt in prompts]
    with evaluation(model):
        added = _continue_rows(model, encoded, max_tokens, excluded_ids(model, may_end=may_end), next_token)
    return model.vocabulary.decode([row + more for row, more in zip(encoded, added, strict=True)])


def _continue_rows(
    model: "LanguageModel",
    rows: list[list[int]],
    max_tokens: int,
    excluded: Tensor,
    next_token: Callable[[Tensor], Tensor],
) -> list[list[int]]:
    """The ids that follow each of B rows of ids; ``next_token`` maps log-probabilities (B, C) to ids (B,)."""
    started = [torch.tensor([model.boundary, *row], device=model.device) for row in rows]
    hidden, _, state = model.encode(packed.pack(started), model.encoder, None)
    last, sizes = packed.last(hidden), torch.tensor([len(rows)])  # (B, H)
    ended = torch.zeros(len(rows), dtype=torch.bool, device=model.device)
    chosen: list[Tensor] = []
    while len(chosen) < max_tokens and not ended.all():
        tokens = next_token(model.softmax.log_probs(last).float().index_fill(1, excluded, -torch.inf))
        ended |= tokens == model.boundary
        chosen.append(tokens.masked_fill(ended, model.boundary))
        hidden, _, state = model.encode(PackedSequence(tokens, sizes), model.encoder, state)
        last = hidden.data
    columns = torch.stack(chosen, 1).tolist() if chosen else [[] for _ in rows]
    return [[i for i in column if i != model.boundary] for column in columns]


def excluded_ids(model: "LanguageModel", *, may_end: bool) -> Tensor:
    """Return the ids that have no text: the unknown token and, unless rows may end, the boundary."""
    excluded = [] if may_end else [model.boundary]
    unknown = model.vocabulary.unknown_id
    return torch.tensor(excluded if unknown is None else [*excluded, unknown], device=model.device).long()
