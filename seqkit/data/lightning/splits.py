"""The splits of a source, with those that are held out; the splits of a stage; the weights of rows."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from seqkit.data.rows.checks import SourceRows, check_columns
from seqkit.data.sources import Files, Frames, Source, to_streams


def load_splits(
    source: Source | DatasetDict | Dataset | IterableDatasetDict | IterableDataset,
    *,
    streaming: bool,
    fractions: dict[str, float],
    shuffle: bool,
    seed: int,
) -> tuple[dict[str, Any], dict[str, SourceRows], dict[str, str]]:
    """Return the source's splits, and hold missing ones out of the training split.

    By split also return which rows of the source it has, for errors; and for each one that is held out a message
    that says so.

    Args:
        source: A source, or the rows themselves; a single dataset is a training split.
        streaming: Whether to read the splits as streams, from which nothing is held out.
        fractions: By split, the share of the training rows to hold out if the source has no such split.
        shuffle: Whether held-out rows are chosen at random; otherwise they are the last rows.
        seed: Seed of this choice.

    Raises:
        TypeError: The source's ``load`` returns no splits.
        ValueError: No training row would be left.
    """
    splits = _read_splits(source, streaming=streaming)
    held_out = {split: fraction for split, fraction in fractions.items() if split not in splits and fraction > 0}
    train = splits.get("train")
    if not held_out or not isinstance(train, Dataset):
        sources = {
            split: SourceRows(split, place=_place(rows), locate_file=_locate_file(source, split, rows))
            for split, rows in splits.items()
        }
        return splits, sources, {}
    hold_out = partial(_hold_out, fractions=held_out, shuffle=shuffle, seed=seed)
    sources = {
        split: SourceRows(split, locate_file=_locate_file(source, split, rows)) for split, rows in splits.items()
    }
    locate_file = sources["train"].locate_file
    for split in ("train", *held_out):
        place = "" if split == "train" else f", held out for {split}"
        locate = partial(held_out_row, split, len(train), hold_out)
        sources[split] = SourceRows("train", locate, place, locate_file)
    parts = hold_out(train)
    messages = {
        split: (
            f"the source has no {split} split: {len(parts[split]):,} of its {len(train):,} training rows are held "
            f"out as {split} ({split}_fraction={fraction})"
        )
        for split, fraction in held_out.items()
    }
    return splits | parts, sources, messages


def held_out_row(split: str, count: int, hold_out: Callable[[Dataset], dict[str, Dataset]], row: int) -> int:
    """Return which of the source's training rows a row is, after some of them were held out.

    Args:
        split: The split that has the row: one that was held out, or ``train`` for what is left.
        count: Number of training rows of the source.
        hold_out: Returns the splits that training rows are divided into.
        row: The row's number in the split.
    """
    numbers = Dataset.from_dict({"number": np.arange(count)})
    return int(hold_out(numbers)[split][row]["number"])


def _hold_out(train: Dataset, *, fractions: Mapping[str, float], shuffle: bool, seed: int) -> dict[str, Dataset]:
    """Return the splits that are held out of the training rows, and what is left of these."""
    splits = {"train": train}
    for split, fraction in fractions.items():
        count = len(splits["train"])
        if count <= math.ceil(count * fraction):
            raise ValueError(
                f"{split}_fraction={fraction} of {count} training rows leaves none to train on; set it to 0, or "
                f"have the source give a {split} split"
            )
        parts = splits["train"].train_test_split(test_size=fraction, seed=seed, shuffle=shuffle)
        splits["train"], splits[split] = parts["train"], parts["test"]
    return splits


def _read_splits(source: Any, *, streaming: bool) -> dict[str, Any]:
    loaded = source
    if isinstance(source, Source):
        loaded = source.stream() if streaming and hasattr(source, "stream") else source.load()
    splits = {"train": loaded} if isinstance(loaded, Dataset | IterableDataset) else loaded
    if not isinstance(splits, Mapping) or not splits or not all(map(_is_dataset, splits.values())):
        raise TypeError(
            f"{type(source).__name__}.load() returned {loaded!r:.200}; it must return a datasets.DatasetDict with "
            f"the splits train, validation and test, or some of them"
        )
    if streaming and all(isinstance(rows, Dataset) for rows in splits.values()):
        splits = to_streams(splits)
    return dict(splits)


def _is_dataset(rows: Any) -> bool:
    return isinstance(rows, Dataset | IterableDataset)


def _place(rows: Any) -> str:
    return " of the stream" if isinstance(rows, IterableDataset) else ""


def _locate_file(source: Any, split: str, rows: Any) -> Callable[[int], str] | None:
    """Return the function that says which file or group of a source has a row; None if it has none."""
    if isinstance(rows, IterableDataset) or not isinstance(source, Files | Frames):
        return None
    if source.groups is not None:
        return partial(source.groups.locate, rows.select_columns(source.groups.group))
    return partial(source.locate_row, split) if isinstance(source, Files) else None


def needed_splits(trainer: Trainer, predict_split: str) -> dict[str, bool]:
    """Return the splits that a trainer is about to read, and whether it reads their targets."""
    limits: Any = trainer
    match trainer.state.fn:
        case TrainerFn.FITTING:
            needed = {"train": limits.limit_train_batches, "validation": limits.limit_val_batches}
            return dict.fromkeys([split for split, limit in needed.items() if limit], True)
        case TrainerFn.PREDICTING:
            return {predict_split: False}
        case TrainerFn.TESTING:
            return {"test": True}
    return {"validation": True}


def read_weights(train: Dataset, column: str) -> npt.NDArray[Any]:
    """Return the weights of the training rows (rows,).

    Raises:
        ValueError: There is no such column.
    """
    check_columns([column], train.column_names, "weights: train")
    return np.asarray(train.with_format("numpy")[column][:])
