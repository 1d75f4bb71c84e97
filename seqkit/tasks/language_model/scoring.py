"""Parts of a language model's loss, its predictions, and descriptions of rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.packed import PackedLayout
from seqkit.tasks.outputs import (
    Predictions,
    RowReport,
    TaskOutput,
    check_outputs,
    costliest_tokens,
    select_sequences,
)

if TYPE_CHECKING:
    from seqkit.tasks.language_model.module import LanguageModel


def add_boundaries(ids: PackedSequence, boundary: int) -> tuple[PackedSequence, PackedSequence]:
    """Return the model's inputs, rows with a leading boundary, and its targets, rows with a trailing boundary.

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


def penalty(model: "LanguageModel", nll: Tensor, dropped: PackedSequence, hidden: PackedSequence) -> Tensor:
    """Compute the penalties of AWD-LSTM, summed over tokens; 0 outside training.

    Args:
        model: Has the weights of the penalties.
        nll: The NLL of the tokens, whose type the penalties are added in.
        dropped: The encoder's output after dropout, data (N, H); its mean square is penalised.
        hidden: The output before dropout; the mean square of its change between tokens is penalised.
    """
    total = nll.new_zeros(())
    if model.training and model.activation_penalty:
        total = total + model.activation_penalty * dropped.data.square().mean(-1).sum()
    if model.training and model.temporal_penalty:
        firsts = int(hidden.batch_sizes[0])  # tokens without a token before them
        change = (hidden.data - packed.shift(hidden, 1, 0.0).data)[firsts:]
        total = total + model.temporal_penalty * change.square().mean(-1).sum()
    return total


def align_backward_nll(backward_nll: Tensor, rows: PackedSequence, target: PackedSequence) -> Tensor:
    """Bring the backward direction's NLL (N + B,) to the order of the forward direction.

    Element i is then the NLL of the same token in both directions; the row's begin takes the place of its end.

    Args:
        backward_nll: The NLL of reversed rows.
        rows: The rows, data (N,).
        target: The rows with their ends, data (N + B,).
    """
    places = token_places(rows, target)
    tokens = packed.reverse(rows._replace(data=backward_nll[places]))
    return backward_nll.index_copy(0, places, tokens.data)


def token_places(rows: PackedSequence, target: PackedSequence) -> Tensor:
    """Return the index (N,) of the tokens of rows, data (N,), in the rows with their ends, data (N + B,)."""
    layout = PackedLayout.of(rows)
    return PackedLayout.of(target).index(layout.positions, layout.ranks)


def predict(model: "LanguageModel", rows: Tensor, ids: PackedSequence) -> Predictions:
    """Score rows (B,) of ids, data (N,); see :meth:`LanguageModel.predict_step`."""
    directions = [_score_rows(model, ids, model.encoder)]
    if model.backward_encoder is not None:
        directions.append(_score_rows(model, packed.reverse(ids), model.backward_encoder))
    rows, *scored = packed.to_host([rows, *directions])
    for scores in scored:
        check_outputs(model, scores.data.isnan().any())
    forward, *backward = (packed.unpack(each) for each in scored)
    columns: dict[str, list[Any]] = {
        "nll": [values[:-1].tolist() for values in forward],
        "end_nll": [values[-1].item() for values in forward],
        "perplexity": [values.mean().exp().item() for values in forward],
    }
    for values in backward:
        columns["backward_nll"] = [row[:-1].flip(0).tolist() for row in values]
        columns["begin_nll"] = [row[-1].item() for row in values]
    return Predictions(rows.tolist(), columns)


def describe_rows(model: "LanguageModel", output: TaskOutput, places: Sequence[int]) -> list[RowReport]:
    """Describe some rows of a batch's output by the NLL of their tokens."""
    reports = []
    for nll, ids in zip(*(select_sequences(side, places) for side in output), strict=True):
        fields = {"tokens": token_names(model, ids.tolist()), "nll": nll.tolist()}
        reports.append(RowReport(fields, costliest_tokens(**fields)))
    return reports


def token_names(model: "LanguageModel", ids: Sequence[int]) -> list[str]:
    """Return the token of each id, the end of a row as ``(end)``."""
    vocabulary = model.vocabulary
    pieces = getattr(vocabulary, "model", None)  # of a subword encoder
    names = (pieces.id_to_token(i) if pieces else vocabulary.decode([[i]])[0] for i in ids if i < model.boundary)
    return ["(end)" if i == model.boundary else str(next(names)) for i in ids]


def _score_rows(model: "LanguageModel", rows: PackedSequence, encoder: nn.Module) -> PackedSequence:
    """The NLL of the tokens of each row and then of its end, data (N + B,)."""
    ids, target = add_boundaries(rows, model.boundary)
    hidden, _, _ = model.encode(ids, encoder, None)
    return target._replace(data=model.softmax.nll(hidden.data, target.data))
