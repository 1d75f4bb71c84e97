"""Comparison of batches, and views of datasets, for the tests of this folder."""

import pickle

import numpy as np
import torch
from datasets import concatenate_datasets
from torch.nn.utils.rnn import PackedSequence

from seqkit.data import PackCollate, RaggedRows

ROWS = 60
VIEWS = {
    "all": lambda data: data,
    "slice": lambda data: data.select(range(11, 47)),
    "selected": lambda data: data.select([3, 41, 1, 1, 9, 58]),
    "shuffled": lambda data: data.shuffle(seed=1),
    "filtered": lambda data: data.filter(lambda row: sum(row["y"]) % 3 == 0),
    "split": lambda data: data.train_test_split(0.4, seed=1)["test"],
    "slice of shuffled": lambda data: data.shuffle(seed=1).select(range(20, 50)).select(range(3, 20)),
    "chunked": lambda data: concatenate_datasets([data.select(range(i, i + 7)) for i in range(0, 56, 7)]),
    "concatenated": lambda data: concatenate_datasets([data.select(range(9)), data.shuffle(seed=2), data]),
    "joined": lambda data: concatenate_datasets(
        [data.select(range(56)).remove_columns("y"), VIEWS["chunked"](data).select_columns("y")], axis=1
    ),
}


def assert_same_batch(batch, expected):
    assert torch.equal(batch.rows, expected.rows)
    for columns, others in [(batch.inputs, expected.inputs), (batch.targets, expected.targets)]:
        assert list(columns) == list(others)
        for name, values in columns.items():
            assert type(values) is type(others[name])
            assert values.data.dtype == others[name].data.dtype
            parts, other_parts = (
                tuple(each) if isinstance(each, PackedSequence) else (each,) for each in (values, others[name])
            )
            for part, other in zip(parts, other_parts, strict=True):
                assert (part is None and other is None) or torch.equal(part, other)


def check_rows(data, inputs, targets, gathered, **options):
    """Compare random batches of RaggedRows with those of PackCollate; return the rows and the last batch."""
    rows = RaggedRows(data, inputs, targets, **options)
    assert rows._can_gather == gathered
    assert len(rows) == len(data)
    collate = PackCollate(inputs, targets, **options)
    data = data.select_columns(list(dict.fromkeys([*inputs, *targets, *options.get("sequence_targets", ())])))
    rng = np.random.default_rng(1)
    for size in (1, 2, 16, 64):
        numbers = rng.integers(0, len(data), size)
        batch = rows[numbers.tolist()]
        expected = collate.collate(data[numbers.tolist()], numbers)
        assert_same_batch(batch, expected)
        assert_same_batch(pickle.loads(pickle.dumps(rows))[numbers.tolist()], expected)
    return rows, batch
