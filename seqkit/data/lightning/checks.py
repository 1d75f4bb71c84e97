"""Checks of the data module's options."""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from lightning.pytorch import Trainer

from seqkit.data.sources import SPLITS, Source
from seqkit.options import choice, instance, number

_CONVERSIONS = {"DataFrame": "from_pandas", "dict": "from_dict", "list": "from_list"}


def check_source(source: Any) -> Any:
    """Return the source of the rows, or the rows themselves.

    Raises:
        TypeError: It is neither; the message names how to convert tables of other libraries.
    """
    is_rows = isinstance(source, Dataset | IterableDataset | DatasetDict | IterableDatasetDict)
    is_splits = (
        isinstance(source, Mapping)
        and len(source) > 0
        and all(isinstance(rows, Dataset | IterableDataset) for rows in source.values())
    )
    if is_rows or is_splits or (isinstance(source, Source) and not isinstance(source, type)):
        return source
    remedy = "give a datasets.Dataset or DatasetDict, or an object with load(), such as seqkit.data.Files"
    if type(source).__name__ in _CONVERSIONS:
        remedy = f"convert it with datasets.Dataset.{_CONVERSIONS[type(source).__name__]}(...)"
    elif isinstance(source, type):
        remedy = f"create one: {source.__name__}(...)"
    elif isinstance(source, str):
        remedy = f"name a source that reads it, such as seqkit.data.Files(train={source!r})"
    raise TypeError(f"source is a {type(source).__name__}, which has no rows to load; {remedy}")


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
