"""Predict raw rows: encoded, in batches of similar lengths, with results in the order of the rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import add
from typing import TYPE_CHECKING, Any, Literal, cast

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from lightning.fabric.utilities import move_data_to_device

from seqkit.batch import Batch
from seqkit.data import RaggedRows, lengths
from seqkit.data.lightning import column_roles, row_lengths
from seqkit.data.rows.checks import RowError, SourceRows
from seqkit.options import choice, flag, integer
from seqkit.tasks.prediction.mode import evaluation
from seqkit.tasks.prediction.progress import PredictionBar

if TYPE_CHECKING:
    from seqkit.tasks.prediction.module import PredictingModule

Empty = Literal["raise", "none"]
Ints = npt.NDArray[np.int64]


class EmptyRowError(RowError):
    """A row without tokens, which has no result."""

    reason = "an empty sequence, for which there is nothing to predict"


def predict(
    model: "PredictingModule", rows: Any, *, max_tokens: int, progress: bool | None, scores: bool, empty: Empty
) -> Any:
    """Predict rows; see :meth:`PredictingModule.predict`."""
    integer("max_tokens", max_tokens, 1)
    choice("empty", empty, ("raise", "none"))
    if progress is not None:
        flag("progress", progress)
    run = partial(predict_table, model, max_tokens=max_tokens, scores=flag("scores", scores), empty=empty)
    with _refuse_deep_lists():
        given = model.row_reader.read(rows)
    if given.num_rows is None:
        return _predict_stream(run, given.parts, progress)
    with PredictionBar(progress, given.num_rows) as bar:
        with _refuse_deep_lists():
            parts = list(given.parts)  # all rows before the first batch, so that an error in one comes at once
        results = run(pa.concat_tables(parts), advance=bar.advance) if parts else []
    return results[0] if given.is_single else results


def predict_table(
    model: "PredictingModule",
    table: pa.Table,
    *,
    max_tokens: int,
    scores: bool = False,
    empty: Empty = "raise",
    first_row: int = 0,
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, Any] | None]:
    """Predict encoded rows; see :meth:`PredictingModule.predict`.

    Args:
        model: The model.
        table: The rows, encoded by a :class:`~seqkit.tasks.prediction.RowReader`.
        max_tokens: The largest number of tokens in a batch; a longer row is a batch of its own.
        scores: Whether to return probabilities, too.
        empty: What to do with a row without tokens.
        first_row: The number of the first row, for errors.
        advance: Called with a number of rows when these are done.

    Returns:
        The columns of each row's result.

    Raises:
        EmptyRowError: A row is empty, or a sequence in it is.
    """
    results: list[dict[str, Any] | None] = [None] * len(table)
    source = SourceRows(None, partial(add, first_row))
    roles = column_roles(model.spec, "solo", with_targets=False)
    # A fingerprint, so that `datasets` does not hash all values for one; nothing of this table is cached.
    encoded = RaggedRows(datasets.Dataset(table, fingerprint="predicted"), **roles, source=source)
    counts = row_lengths(encoded, model.spec)
    if empty == "raise":
        with source.name_errors():
            _check_empty(encoded, counts, [roles["inputs"][0], *roles["unaligned"]], model.spec)
    options = {"scores": True} if scores else {}  # a task of one's own may know no scores
    with evaluation(model):
        for chosen in _batches(counts, max_tokens):
            batch = move_data_to_device(
                cast_floats(encoded[chosen.tolist()], cast(torch.dtype, model.dtype)), model.device
            )
            found, columns = model.predict_step(batch, 0, **options)
            for row, *values in zip(found, *columns.values(), strict=True):
                results[row] = dict(zip(columns, values, strict=True))
            if advance is not None:
                advance(len(chosen))
    return results


@contextmanager
def _refuse_deep_lists() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise ValueError("rows has hundreds of lists within lists; give each row as it was in training") from error


def _predict_stream(
    run: Callable[..., list[Any]], parts: Iterator[pa.Table], progress: bool | None
) -> Iterator[Any]:
    first = 0
    with PredictionBar(progress, None) as bar:
        for table in parts:
            # The model is in evaluation mode only in this call, not while the results are consumed.
            yield from run(table, first_row=first, advance=bar.advance)
            first += len(table)


def _check_empty(rows: RaggedRows, counts: Ints, columns: list[str], spec: dict[str, Any]) -> None:
    """Check that no row is empty; the columns are those whose sequences have lengths of their own."""
    for row in np.flatnonzero(counts[:, 0] == 0)[:1]:
        column = next(column for column in columns if not lengths(rows.dataset, column)[row])
        raise EmptyRowError(
            int(row),
            f'{EmptyRowError.reason}; leave the row out, or pass empty="none", which gives None in its place',
            spec["inputs"][column].get("column", column),
        )


def _batches(counts: Ints, max_tokens: int) -> Iterator[Ints]:
    """Yield batches of rows of similar length, the longest first; without empty rows.

    Args:
        counts: (rows, columns) the lengths of each row's sequences; the first is the main one.
        max_tokens: The largest number of tokens in a batch, of all sequences together.
    """
    order = np.argsort(-counts[:, 0], kind="stable")
    order = order[: np.count_nonzero(counts[:, 0])]
    ends = np.cumsum(counts[order].sum(1))
    start = 0
    while start < len(order):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + max_tokens, "right")))
        yield order[start:stop]
        start = stop


def cast_floats(batch: Batch, dtype: torch.dtype) -> Batch:
    """Give inputs of floating-point numbers the type of the model, as a trainer's precision does."""
    return batch._replace(
        inputs={
            name: values._replace(data=values.data.to(dtype)) if values.data.is_floating_point() else values
            for name, values in batch.inputs.items()
        }
    )
