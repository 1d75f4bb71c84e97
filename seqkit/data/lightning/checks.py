"""Checks of the data module's options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from lightning.pytorch import Trainer

from seqkit.data.sources import SPLITS, Source, as_split, is_frame
from seqkit.options import choice, instance, number

if TYPE_CHECKING:
    AnySource = Any  # also frames of libraries that need not be installed
else:
    # What a config can give: with Any, the command line would take a misspelt class_path for a dict of columns.
    AnySource = Source | DatasetDict | Dataset | IterableDatasetDict | IterableDataset


def check_source(source: Any) -> Any:
    """Return the source of the rows, or the rows themselves as a dataset or as a dict of splits.

    A dict gives splits if its keys are among train, validation and test, or if each value is a table of rows.
    Otherwise, a dict gives columns.

    Raises:
        TypeError: There are no rows in such an object.
        ValueError: Rows in memory cannot be a dataset; see :func:`~seqkit.data.as_dataset`.
    """
    if isinstance(source, type | str | Path):
        remedy = f"name a source that reads it, such as seqkit.data.Files(train={str(source)!r})"
        if isinstance(source, type):
            remedy = f"create one: {source.__name__}(...)"
        raise TypeError(f"source is a {type(source).__name__}, which has no rows to load; {remedy}")
    if isinstance(source, Source | DatasetDict | IterableDatasetDict | IterableDataset):
        return source
    if (
        isinstance(source, Mapping)
        and source
        and (set(source) <= set(SPLITS) or all(map(_is_table, source.values())))
    ):
        return {split: _as_rows(split, rows) for split, rows in source.items()}
    return _as_rows("train", source)


def _is_table(rows: Any) -> bool:
    """Whether an object can only be rows with columns, and not the values of one column."""
    is_records = isinstance(rows, Sequence) and len(rows) > 0 and isinstance(rows[0], Mapping)
    return is_records or is_frame(rows) or isinstance(rows, Mapping | Dataset | IterableDataset)


def _as_rows(split: str, rows: Any) -> Any:
    return rows if isinstance(rows, IterableDataset) else as_split(split, rows)


def check_fractions(validation: Any, test: Any) -> tuple[float, float]:
    """Return the shares of the training rows to hold out for validation and test.

    Raises:
        TypeError: One is not a number.
        ValueError: One is not at least 0 and below 1, or their sum is not below 1.
    """
    fractions = number("validation_fraction", validation, 0, 1), number("test_fraction", test, 0, 1)
    if sum(fractions) >= 1:
        raise ValueError(
            f"validation_fraction={validation} and test_fraction={test} leave no rows to train on; choose a sum "
            f"below 1"
        )
    return fractions


def check_split(name: str, split: Any, source: Any) -> str:
    """Return an option that names a split; a dataset with known splits, or the usual three, must have it.

    Raises:
        TypeError: It is not a string.
        ValueError: The source is a dict of splits without it.
    """
    if not isinstance(source, Mapping):
        return str(instance(name, split, str, optional=False))
    return str(choice(name, split, [*SPLITS, *source]))


def check_train_stream(needs_all_rows: bool, trainer: Trainer | None) -> None:
    """Check that training can read a stream.

    Args:
        needs_all_rows: Whether one of the data module's options needs all rows at once.
        trainer: The trainer, if there is one.

    Raises:
        ValueError: There is such an option, or the trainer's ``overfit_batches`` is set.
    """
    if needs_all_rows:
        raise ValueError(
            "weights, batch_multiple, longest_first and continuous need all rows at once, but train is a stream; "
            "leave them out, or load it (streaming=False)"
        )
    if trainer is not None and trainer.overfit_batches:  # type: ignore[attr-defined]
        raise ValueError(
            "overfit_batches needs the same batches in every epoch, but train is a stream; take its first rows "
            "(dataset.take), or load it (streaming=False)"
        )
