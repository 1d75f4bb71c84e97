"""The splits of a source: held-out rows, and the forms in which a split is read."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from seqkit.data.continuous import Continuous, ContinuousText, concatenate_rows
from seqkit.data.encoders import encode_dataset, encode_table, source_columns
from seqkit.data.sources import Source, to_streams
from seqkit.data.streaming.stream import PackedStream


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


def read_stream(
    dataset: IterableDataset,
    spec: dict[str, Any],
    split: str,
    roles: Mapping[str, Any],
    *,
    with_targets: bool,
    **options: Any,
) -> PackedStream:
    """Return a split as a stream of encoded rows.

    Args:
        dataset: The rows.
        spec: The data spec.
        split: Name of the split, for errors.
        roles: The result of :func:`~seqkit.data.lightning.columns.column_roles`.
        with_targets: Whether the batches contain the targets.
        options: Further arguments of :class:`~seqkit.data.PackedStream`.
    """
    entries = spec["inputs"] | (spec["targets"] if with_targets else {})
    encode = partial(encode_table, spec=spec, split=split, features=dataset.features, with_targets=with_targets)
    return PackedStream(dataset.select_columns(source_columns(entries)), **roles, encode=encode, **options)


def read_text(
    dataset: Dataset,
    spec: dict[str, Any],
    split: str,
    continuous: Continuous,
    *,
    training: bool,
    single_rank: bool,
) -> ContinuousText:
    """Return the rows of a split as one continuous text.

    Args:
        dataset: The rows.
        spec: The data spec.
        split: Name of the split, for errors.
        continuous: How the text is read.
        training: Whether it is read in training or in evaluation.
        single_rank: Whether this process reads all sequences, even if there are several ranks.

    Raises:
        ValueError: The data spec has other columns, too, or the column does not have ids.
    """
    (column, entry), *others = spec["inputs"].items()
    if others or spec["targets"] or entry["kind"] != "ids":
        raise ValueError(
            f"continuous text is one input column of ids without a target, because the next token is the target, "
            f"but the inputs are {list(spec['inputs'])} ({entry['kind']}) and the targets {list(spec['targets'])}; "
            f"name one column in `inputs`, or leave out `continuous`"
        )
    encoded = encode_dataset(dataset, spec, split)
    boundary = entry["size"]  # the id after the last one
    return ContinuousText(
        concatenate_rows(encoded, column, boundary, append_eos=continuous.append_eos),
        column,
        continuous.batch_size if training else continuous.evaluation_batch_size,
        num_replicas=1 if single_rank else None,
        rank=0 if single_rank else None,
    )


def read_weights(train: Dataset, column: str) -> npt.NDArray[Any]:
    """Return the weights of the training rows (rows,).

    Raises:
        ValueError: There is no such column.
    """
    if column not in train.column_names:
        raise ValueError(f"weights: train has no column {column!r}; it has {', '.join(train.column_names)}")
    return np.asarray(train.with_format("numpy")[column][:])
