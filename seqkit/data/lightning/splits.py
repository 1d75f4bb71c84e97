"""The splits of a source, with those that are held out, and the weights of rows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from seqkit.data.sources import Source, to_streams


def load_splits(
    source: Source | DatasetDict | Dataset | IterableDatasetDict | IterableDataset,
    *,
    streaming: bool,
    fractions: dict[str, float],
    shuffle: bool,
    seed: int,
) -> dict[str, Any]:
    """Return the source's splits, and hold missing ones out of the training split.

    Args:
        source: A source, or the rows themselves; a single dataset is a training split.
        streaming: Whether to read the splits as streams, from which nothing is held out.
        fractions: By split, the share of the training rows to hold out if the source has no such split.
        shuffle: Whether held-out rows are chosen at random; otherwise they are the last rows.
        seed: Seed of this choice.

    Raises:
        ValueError: No training row would be left.
    """
    loaded: Any = source
    if isinstance(source, Source):
        loaded = source.stream() if streaming else source.load()
    splits = {"train": loaded} if isinstance(loaded, Dataset | IterableDataset) else dict(loaded)
    if streaming and all(isinstance(rows, Dataset) for rows in splits.values()):
        splits = dict(to_streams(splits))
    for split, fraction in fractions.items():
        if split in splits or fraction <= 0 or not isinstance(splits.get("train"), Dataset):
            continue
        count = splits["train"].num_rows
        if count <= math.ceil(count * fraction):
            raise ValueError(
                f"{split}_fraction={fraction} of {count} training rows leaves none to train on; set it to 0, or "
                f"have the source give a {split} split"
            )
        parts = splits["train"].train_test_split(test_size=fraction, seed=seed, shuffle=shuffle)
        splits["train"], splits[split] = parts["train"], parts["test"]
    return splits


def read_weights(train: Dataset, column: str) -> npt.NDArray[Any]:
    """Return the weights of the training rows (rows,).

    Raises:
        ValueError: There is no such column.
    """
    if column not in train.column_names:
        raise ValueError(f"weights: train has no column {column!r}; it has {', '.join(train.column_names)}")
    return np.asarray(train.with_format("numpy")[column][:])
