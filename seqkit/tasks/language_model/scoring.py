"""Parts of a language model's loss, and its predictions."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

if TYPE_CHECKING:
    from seqkit.tasks.language_model.module import LanguageModel


def add_boundaries(ids: PackedSequence, boundary: int) -> tuple[PackedSequence, PackedSequence]:
    """Add a begin to what a language model reads of rows, and an end to what it predicts.

    Args:
        ids: Packed, data (N,).
        boundary: The id of both begin and end.

    Returns:
        The boundary followed by the row, and the row followed by the boundary: packed, data (N + B,).
    """
    # Packed data is ordered by step, so a first step precedes all others.
    begins = ids.data.new_full((int(ids.batch_sizes[0]),), boundary)
    read = ids._replace(
        data=torch.cat([begins, ids.data]), batch_sizes=torch.cat([ids.batch_sizes[:1], ids.batch_sizes])
    )
    return read, packed.shift(read, -1, boundary)


def activation_penalty(dropped: PackedSequence, weight: float) -> Tensor:
    """Return the weighted mean square of the features of an output (N, H), summed over tokens."""
    return weight * dropped.data.square().mean(-1).sum()


def temporal_penalty(hidden: PackedSequence, weight: float) -> Tensor:
    """Return the weighted mean square of the change of an output (N, H) between tokens, summed over tokens."""
    firsts = int(hidden.batch_sizes[0])  # tokens without a token before them
    change = (hidden.data - packed.shift(hidden, 1, 0.0).data)[firsts:]
    return weight * change.square().mean(-1).sum()


def align_backward_nll(backward_nll: Tensor, rows: PackedSequence, is_end: Tensor) -> Tensor:
    """Bring the backward direction's NLL (N + B,) to the order of the forward direction.

    Each token then is beside itself in the other direction, and the begin beside the end.

    Args:
        backward_nll: The NLL of reversed rows.
        rows: The rows, data (N,).
        is_end: Which places hold an end, (N + B,).
    """
    tokens = packed.reverse(rows._replace(data=backward_nll[~is_end]))
    return backward_nll.masked_scatter(~is_end, tokens.data)


def predict_columns(model: "LanguageModel", rows: PackedSequence) -> dict[str, list[Any]]:
    """Score rows of ids, data (N,); see :meth:`LanguageModel.predict_step`."""
    scored = _score_rows(model, rows, model.encoder)
    columns: dict[str, list[Any]] = {
        "nll": [values[:-1].tolist() for values in scored],
        "end_nll": [values[-1].item() for values in scored],
        "perplexity": [values.mean().exp().item() for values in scored],
    }
    if model.backward_encoder is not None:
        scored = _score_rows(model, packed.reverse(rows), model.backward_encoder)
        columns["backward_nll"] = [values[:-1].flip(0).tolist() for values in scored]
        columns["begin_nll"] = [values[-1].item() for values in scored]
    return columns


def _score_rows(model: "LanguageModel", rows: PackedSequence, encoder: nn.Module) -> list[Tensor]:
    """The NLL of the tokens of each row and then of its end, (L + 1,) each."""
    ids, target = add_boundaries(rows, model.boundary)
    hidden, _, _ = model.encode(ids, encoder, None)
    return list(packed.unpack(target._replace(data=model.softmax.nll(hidden.data, target.data))))
