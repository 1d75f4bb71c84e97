import pickle
import re

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Array2D, Dataset, Features, LargeList, List, Value, concatenate_datasets, load_from_disk
from torch.utils.data import DataLoader

from seqkit.data import PackCollate, RaggedRows
from tests.data.rows.cases import ROWS, VIEWS, assert_same_batch, check_rows

NUMBERS = [
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "bool"),
]
KINDS = {
    "list": lambda value: List(value),
    "large": lambda value: LargeList(value),
    "vectors": lambda value: List(List(value)),
    "fixed vectors": lambda value: List(List(value, length=3)),
    "large vectors": lambda value: LargeList(LargeList(value)),
    "matrices": lambda value: List(List(List(value, length=2))),
    "vectors of vectors": lambda value: LargeList(List(List(value), length=3)),
}
SHAPES = {"matrices": (3, 2), "vectors of vectors": (3, 2)} | dict.fromkeys(
    ["vectors", "fixed vectors", "large vectors"], (3,)
)


def numbers(rng, dtype, shape):
    if dtype == "bool":
        return rng.random(shape) > 0.5
    if dtype.startswith("float"):
        return (rng.standard_normal(shape) * 100).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**62)), min(info.max, 2**62), shape).astype(dtype)


def dataset(kind="list", dtype="int32"):
    """Rows of 1 to 12 values, the same number in every column along the sequence."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 13, ROWS)
    value = Value(dtype)
    features = {"x": KINDS[kind](value), "y": List(Value("int16")), "label": value, "topics": List(value)}
    return Dataset.from_dict(
        {
            "x": [numbers(rng, dtype, (length, *SHAPES.get(kind, ()))).tolist() for length in lengths],
            "y": [rng.integers(0, 9, length).tolist() for length in lengths],
            "label": numbers(rng, dtype, ROWS).tolist(),
            "topics": numbers(rng, dtype, (ROWS, 4)).tolist(),
        },
        features=Features(features),
    )


def check(data, inputs=("x",), targets=("y", "label"), sequence_targets=("topics",), gathered=True):
    rows, batch = check_rows(data, inputs, targets, gathered, sequence_targets=sequence_targets)
    assert rows.lengths.tolist() == [len(row) for row in data[inputs[0]]]
    for values in [*batch.inputs.values(), *batch.targets.values()]:
        assert getattr(values, "sorted_indices", None) is None
    return rows


class TestEqualsPackCollate:
    @pytest.mark.parametrize("dtype", NUMBERS)
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_type(self, kind, dtype):
        check(VIEWS["concatenated"](dataset(kind, dtype)), inputs=("x",), targets=("x", "y", "label"))

    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("kind", ["list", "vectors", "fixed vectors"])
    @pytest.mark.parametrize("dtype", ["int32", "bool"])
    def test_every_view(self, view, kind, dtype):
        check(VIEWS[view](dataset(kind, dtype)), inputs=("x", "y"))

    @pytest.mark.parametrize("kind", ["list", "vectors"])
    def test_memory_mapped(self, kind, tmp_path):
        data = dataset(kind)
        many = data.map(
            lambda batch: batch, batched=True, writer_batch_size=7, cache_file_name=str(tmp_path / "rows.arrow")
        )
        assert many.data.column("x").num_chunks == 9
        check(many)
        check(many.shuffle(seed=1, indices_cache_file_name=str(tmp_path / "indices.arrow")))
        many.save_to_disk(tmp_path / "shards", num_shards=3)
        check(load_from_disk(tmp_path / "shards"))
        check(concatenate_datasets([load_from_disk(tmp_path / "shards"), data]))

    def test_sequences_of_fixed_size(self):
        value = List(List(Value("float32"), length=2), length=3)
        values = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
        data = Dataset.from_dict(
            {"x": values.tolist(), "y": [0] * 10}, features=Features({"x": value, "y": Value("bool")})
        )
        for view in (
            data,
            data.select(range(2, 9)),
            concatenate_datasets([data.select(range(3)), data.shuffle(seed=0)]),
        ):
            check(view, targets=("y",), sequence_targets=())

    def test_array2d(self):
        frames = [np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32) for n in (3, 1, 5)]
        data = Dataset.from_dict({"x": frames}, features=Features({"x": Array2D((None, 4), "float32")}))
        check(data, targets=(), sequence_targets=())

    def test_any_format(self):
        data = dataset()
        for form in ("numpy", "torch", "arrow"):
            assert_same_batch(
                RaggedRows(data.with_format(form, columns=["label"]), ["x"])[[3, 1]],
                RaggedRows(data, ["x"])[[3, 1]],
            )

    @pytest.mark.parametrize("view", ["all", "shuffled"])
    def test_max_length(self, view):
        data = VIEWS[view](dataset("vectors"))
        rows = RaggedRows(data, ["x"], ["y"], max_length=4)
        assert rows.lengths.max() == 4
        expected = PackCollate("x", "y", max_length=4).collate(data[[5, 3, 8, 1]], np.array([5, 3, 8, 1]))
        assert_same_batch(rows[[5, 3, 8, 1]], expected)

    def test_null_and_empty_rows_outside_the_view(self):
        rows = [[1], None, [2, 3], [], [4]]
        data = Dataset.from_dict({"x": rows, "label": [1, None, 3, None, 5]})
        data = data.select([4, 2, 0])
        check(data, targets=("label",), sequence_targets=())

    def test_ragged_rows_outside_the_view_are_decoded(self):
        rows = [[[1, 2]], [[3], [4, 5]], [[6, 7], [8, 9]]]
        check(Dataset.from_dict({"x": rows}).select([2, 0]), targets=(), sequence_targets=(), gathered=False)

    def test_unaligned_buffers_are_decoded(self):
        unaligned = pa.py_buffer(b"-" + np.arange(6, dtype=np.int32).tobytes())[1:]
        values = pa.Array.from_buffers(pa.int32(), 6, [None, unaligned])
        column = pa.ListArray.from_arrays(pa.array([0, 1, 3, 6], pa.int32()), values)
        check(Dataset(pa.table({"x": column})), targets=(), sequence_targets=(), gathered=False)

    def test_empty_rows_and_chunks_of_empty_rows(self):
        data = Dataset.from_dict({"x": [[], [1], [], [], [2, 3], []]})
        data = concatenate_datasets([data.select([0, 2, 3]).flatten_indices(), data])
        rows = RaggedRows(data, ["x"])
        assert rows[[7, 4]].inputs["x"].data.tolist() == [2, 1, 3]


class TestBatches:
    @pytest.mark.parametrize("gathered", [True, False])
    def test_no_rows(self, gathered):
        rows = RaggedRows(dataset("vectors"), ["x", "y"], ["y", "label"], sequence_targets=["topics"])
        rows._can_gather = gathered
        batch, full = rows[[]], rows[[1, 2]]
        assert batch.rows.shape == (0,)
        assert batch.inputs["x"].data.shape == (0, 3)
        assert batch.targets["topics"].shape == (0, 4)
        assert batch.inputs["y"].batch_sizes.shape == (0,)
        for columns, others in [(batch.inputs, full.inputs), (batch.targets, full.targets)]:
            assert {name: values.data.dtype for name, values in columns.items()} == {
                name: values.data.dtype for name, values in others.items()
            }

    def test_single_row(self):
        rows = RaggedRows(dataset(), ["x"], ["y"])
        assert_same_batch(rows[5], rows[[5]])

    @pytest.mark.parametrize("row", [-1, ROWS])
    def test_row_out_of_range(self, row):
        with pytest.raises(IndexError, match=f"row {row} is out of range: the dataset has {ROWS} rows"):
            RaggedRows(dataset(), ["x"])[[0, row]]

    def test_columns_share_one_batch_sizes(self):
        batch = RaggedRows(dataset(), ["x", "y"], ["y"])[[4, 2, 7]]
        assert batch.inputs["x"].batch_sizes is batch.inputs["y"].batch_sizes is batch.targets["y"].batch_sizes

    def test_values_are_a_copy(self):
        rows = RaggedRows(dataset(), ["x"])
        before = rows[[3]].inputs["x"].data.clone()
        rows[[3]].inputs["x"].data.zero_()
        assert torch.equal(rows[[3]].inputs["x"].data, before)

    def test_empty_dataset(self):
        rows = RaggedRows(dataset().select([]), ["x"], ["y"])
        assert len(rows) == len(rows.lengths) == 0
        with pytest.raises(
            ValueError, match="a batch of no rows needs a dtype, but the dataset has no row with a token"
        ):
            rows[[]]


class TestInDataLoader:
    BATCHES = ([3, 1, 4], [], [15, 9], [2, 6])

    def check(self, rows, **settings):
        loader = DataLoader(rows, sampler=self.BATCHES, batch_size=None, **settings)
        for _ in range(2):
            for batch, numbers in zip(loader, self.BATCHES, strict=True):
                assert_same_batch(batch, rows[numbers])

    @pytest.mark.parametrize("workers", [0, 1])
    def test_in_process_and_forked(self, workers):
        rows = RaggedRows(dataset("vectors"), ["x"], ["y", "label"])
        settings = {"multiprocessing_context": "fork", "persistent_workers": True} if workers else {}
        self.check(rows, num_workers=workers, **settings)

    def test_spawned(self, tmp_path):
        dataset("vectors").save_to_disk(tmp_path)
        rows = RaggedRows(load_from_disk(tmp_path).shuffle(seed=0), ["x"], ["y", "label"])
        self.check(rows, num_workers=1, multiprocessing_context="spawn", persistent_workers=True)

    def test_pickles_without_the_values(self, tmp_path):
        dataset("vectors").save_to_disk(tmp_path)
        data = load_from_disk(tmp_path)
        assert len(pickle.dumps(RaggedRows(data, ["x"], ["y"]))) < len(pickle.dumps(data)) + 500


def rows_of(**columns):
    return Dataset.from_dict(columns)


NULL = "(column {!r}): null, or contains a null; fill it in or drop the row with dataset.filter"


class TestErrors:
    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                {"x": [[1], [1, 2]], "y": [[1], [1]]},
                "row 1: 2 tokens in column 'x' but 1 values in 'y'; each token needs one value: "
                "correct the row or drop it with dataset.filter",
            ),
            ({"x": [[1], [2], None], "y": [1, 2, 3]}, "row 2 " + NULL.format("x")),
            ({"x": [[1], [2], [3, None]], "y": [1, 2, 3]}, "row 2 " + NULL.format("x")),
            ({"x": [[1], [2], [3]], "y": [1, 2, None]}, "row 2 " + NULL.format("y")),
            ({"x": [[1], [2], [3]], "y": [[1], None, [3]]}, "row 1 " + NULL.format("y")),
            ({"x": [[[1, 2]], [[1, 2], [None, 4]]], "y": [1, 2]}, "row 1 " + NULL.format("x")),
            ({"x": [[[1, 2]], [[1, 2], None]], "y": [1, 2]}, "row 1 " + NULL.format("x")),
            ({"x": [[None, [1, 2]], [[1, 2]]], "y": [1, 2]}, "row 0 " + NULL.format("x")),
            (
                {"x": [[[1, 2]], [[1, 2], [3]]], "y": [1, 2]},
                "row 1 (column 'x'): lists of different lengths within one sequence; "
                "every token needs the same shape",
            ),
            (
                {"x": [[[1, 2]], [], [[3]]], "y": [1, 2, 3]},
                "row 2 (column 'x'): values of shape (1,) but (2,) before; every token needs the same shape",
            ),
            (
                {"x": [[], ["a"]], "y": [1, 2]},
                "row 1 (column 'x'): values of dtype <U1, not numbers; encode them first",
            ),
            (
                {"x": [[1], [2]], "y": ["a", "b"]},
                "row 0 (column 'y'): values of dtype <U1, not numbers; encode them first",
            ),
            (
                {"x": [1, 2], "y": [1, 2]},
                "column 'x' has type int64; only lists and strings have lengths: use another column",
            ),
            ({"x": [[1]], "z": [2]}, "the dataset has no column 'y'; it has x, z"),
        ],
    )
    def test_bad_rows_are_found_at_construction(self, columns, message):
        data = rows_of(**columns)
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            RaggedRows(data, ["x"], ["y"])

    @pytest.mark.parametrize("chunked", [False, True])
    def test_errors_name_the_row_of_the_view(self, chunked):
        data = Dataset.from_dict({"x": [[[1]], [[1], [None]], [[1]], [[1], [1]]]})
        view = concatenate_datasets([data.select([i]) for i in (3, 2, 1)]) if chunked else data.select([3, 2, 1])
        with pytest.raises(ValueError, match=r"^row 2 \(column 'x'\): null"):
            RaggedRows(view, ["x"])

    def test_chunks_of_different_widths(self):
        data = concatenate_datasets([rows_of(x=[[], [[1, 2]]]), rows_of(x=[[], [[1, 2, 3]]])])
        message = "row 3 (column 'x'): values of shape (3,) but (2,) before; every token needs the same shape"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            RaggedRows(data, ["x"])

    def test_vectors_of_different_lengths(self):
        data = rows_of(x=[[1], [2]], y=[[0, 1], [1]])
        message = "row 1 (column 'y'): values of shape (1,) but (2,) before; every row needs the same shape"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            RaggedRows(data, ["x"], sequence_targets=["y"])

    @pytest.mark.parametrize("gathered", [True, False])
    def test_empty_row_raises_when_requested(self, gathered):
        rows = RaggedRows(rows_of(x=[[1], [], [2]]), ["x"])
        rows._can_gather = gathered
        message = (
            "row 1 (column 'x'): an empty sequence, which cannot be packed; drop such rows with dataset.filter, "
            'or let the sampler do it with empty="drop"'
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            rows[[2, 1]]

    @pytest.mark.parametrize("gathered", [True, False])
    def test_numbers_beyond_int64(self, gathered):
        rows = RaggedRows(Dataset.from_dict({"x": [np.array([2**63], dtype=np.uint64)]}), ["x"])
        rows._can_gather = gathered
        with pytest.raises(ValueError, match=r"^column 'x' contains 9223372036854775808, which does not fit int64"):
            rows[[0]]

    def test_transform(self):
        with pytest.raises(ValueError, match=r"^column 'x' passes through a transform .* or use a DataLoader"):
            RaggedRows(dataset().with_transform(lambda batch: batch), ["x"])
