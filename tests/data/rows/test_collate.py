import pickle
import re

import numpy as np
import pytest
import torch
from datasets import Array2D, Dataset, Features
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader

from seqkit.data import PackCollate
from tests.data.rows.cases import assert_same_batch

LENGTHS = st.lists(st.integers(1, 9) | st.sampled_from([1, 4, 4, 40]), min_size=1, max_size=12)
CONTAINERS = {
    "list": lambda values: values.tolist(),
    "numpy": lambda values: values,
    "tensor": torch.from_numpy,
}


def random_values(rng, length, kind):
    if kind == "ids":
        return rng.integers(-5, 1000, length)
    return rng.standard_normal((length, 3) if kind == "vectors" else length).astype(np.float32)


def dataset(lengths=(3, 1, 4, 1, 5)):
    rng = np.random.default_rng(0)
    columns = {
        "tokens": [rng.integers(0, 99, length).tolist() for length in lengths],
        "frames": [rng.standard_normal((length, 2)).tolist() for length in lengths],
        "tags": [rng.integers(0, 9, length).tolist() for length in lengths],
        "label": list(range(len(lengths))),
        "topics": [(rng.random(3) > 0.5).tolist() for _ in lengths],
    }
    return Dataset.from_dict(columns)


class TestPacking:
    @given(LENGTHS, st.sampled_from(["ids", "values", "vectors"]), st.sampled_from(list(CONTAINERS)))
    def test_equals_pack_sequence(self, lengths, kind, container):
        rng = np.random.default_rng(len(lengths))
        rows = [random_values(rng, length, kind) for length in lengths]
        batch = PackCollate("x")([{"x": CONTAINERS[container](row)} for row in rows])
        order = sorted(range(len(rows)), key=lambda row: -lengths[row])  # stable
        expected = pack_sequence([torch.from_numpy(rows[row]) for row in order])
        assert batch.rows.tolist() == order
        assert batch.inputs["x"].sorted_indices is None
        assert batch.inputs["x"].data.dtype == expected.data.dtype
        assert torch.equal(batch.inputs["x"].data, expected.data)
        assert torch.equal(batch.inputs["x"].batch_sizes, expected.batch_sizes)

    def test_columns_share_one_order(self):
        collate = PackCollate(["tokens", "frames"], ["tags", "label"], sequence_targets="topics")
        examples = list(dataset())
        batch = collate(examples)
        assert batch.rows.tolist() == [4, 2, 0, 1, 3]
        for packed in [*batch.inputs.values(), batch.targets["tags"]]:
            assert packed.batch_sizes.tolist() == [5, 3, 3, 2, 1]
        for row in range(5):  # a packed batch of one row is the sequence
            alone = collate([examples[batch.rows[row]]])
            steps = [
                row + sum(batch.inputs["tokens"].batch_sizes[:t].tolist())
                for t in range(len(alone.inputs["tokens"].data))
            ]
            for name in ["tokens", "frames"]:
                assert torch.equal(batch.inputs[name].data[steps], alone.inputs[name].data)
            assert torch.equal(batch.targets["tags"].data[steps], alone.targets["tags"].data)
            assert torch.equal(batch.targets["topics"][row], alone.targets["topics"][0])
        assert batch.targets["label"].tolist() == batch.rows.tolist()
        assert list(batch.targets) == ["tags", "label", "topics"]

    def test_max_length_cuts_tokens_and_their_targets(self):
        examples = [{"x": [1, 2, 3], "y": [4, 5, 6]}, {"x": [7], "y": [8]}]
        batch = PackCollate("x", "y", max_length=2)(examples)
        assert batch.inputs["x"].data.tolist() == [1, 7, 2]
        assert batch.targets["y"].data.tolist() == [4, 8, 5]

    def test_row_column(self):
        examples = [{"x": [1], "row": 70}, {"x": [1, 2], "row": 30}]
        assert PackCollate("x", row="row")(examples).rows.tolist() == [30, 70]

    @pytest.mark.parametrize(
        ("value", "dtype"),
        [
            ([1, 2], torch.int64),
            ([1.0, 2.0], torch.float32),
            ([True, False], torch.bool),
            (np.array([1, 2], dtype=np.uint8), torch.int64),
            (np.array([1, 2], dtype=np.float64), torch.float32),
            (np.array([1, 2], dtype=np.float16), torch.float32),
            (torch.tensor([1, 2], dtype=torch.int16), torch.int64),
            (torch.tensor([1.0, 2.0], dtype=torch.float64), torch.float32),
            (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), torch.float32),
        ],
        ids=str,
    )
    def test_dtypes(self, value, dtype):
        batch = PackCollate("x", ["x"])([{"x": value}])
        assert batch.inputs["x"].data.dtype == dtype
        assert batch.inputs["x"].data.tolist() == [float(v) for v in value]

    def test_infinite_float64(self):
        assert PackCollate("x")([{"x": [1e30, -float("inf")]}]).inputs["x"].data.tolist()[1] == -float("inf")


class TestInDataLoader:
    COLLATE = PackCollate(["tokens", "frames"], ["tags", "label"], sequence_targets="topics")

    @pytest.mark.parametrize("form", [None, "numpy", "torch"])
    @pytest.mark.parametrize("lengths", [(3, 1, 4, 1, 5), (2, 2, 2)], ids=["different", "equal"])
    def test_any_format_gives_the_same_batch(self, form, lengths):
        data = dataset(lengths)
        expected = self.COLLATE(list(data))
        data = data.with_format(form)
        (batch,) = DataLoader(data, batch_size=len(data), collate_fn=self.COLLATE)
        assert_same_batch(batch, expected)
        assert_same_batch(self.COLLATE(data[list(range(len(data)))]), expected)  # dict of columns

    def test_sampler_of_whole_batches(self):
        loader = DataLoader(dataset(), sampler=[[0, 2], [4, 1, 3]], batch_size=None, collate_fn=self.COLLATE)
        assert [batch.targets["label"].tolist() for batch in loader] == [[2, 0], [4, 1, 3]]

    @pytest.mark.parametrize("form", [None, "numpy", "torch"])
    def test_array2d_features(self, form):
        frames = [np.ones((3, 4), np.float32), np.zeros((2, 4), np.float32)]
        data = Dataset.from_dict({"x": frames}, features=Features({"x": Array2D((None, 4), "float32")}))
        batch = PackCollate("x")(data.with_format(form)[[0, 1]])
        assert torch.equal(batch.inputs["x"].data, pack_sequence([torch.from_numpy(f) for f in frames]).data)

    def test_pickles(self):
        assert_same_batch(pickle.loads(pickle.dumps(self.COLLATE))(list(dataset())), self.COLLATE(list(dataset())))

    @pytest.mark.slow
    def test_spawned_workers(self):
        loader = DataLoader(
            dataset(), batch_size=2, collate_fn=self.COLLATE, num_workers=2, multiprocessing_context="spawn"
        )
        for batch, expected in zip(
            loader, DataLoader(dataset(), batch_size=2, collate_fn=self.COLLATE), strict=True
        ):
            assert_same_batch(batch, expected)


class TestErrors:
    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            (
                [{"x": [1], "y": [1]}, {"x": [1, 2], "y": [1]}],
                "row 1: 2 tokens in column 'x' but 1 values in 'y'; each token needs one value: "
                "correct the row or drop it with dataset.filter",
            ),
            (
                [{"x": [1], "y": [1]}, {"x": [1, 2], "y": [1, 2, 3]}],
                "row 1: 2 tokens in column 'x' but 3 values in 'y'; each token needs one value: "
                "correct the row or drop it with dataset.filter",
            ),
            (
                [{"x": [1], "y": [1]}, {"x": [], "y": []}],
                "row 1 (column 'x'): an empty sequence, which cannot be packed; drop such rows with "
                'dataset.filter, or let the sampler do it with empty="drop"',
            ),
            (
                [{"x": [1], "y": [1]}, {"x": [1], "tags": [1]}],
                "an example has no column 'y'; it has x, tags",
            ),
            (
                [{"x": [1], "y": 1}, {"x": None, "y": 1}],
                "row 1 (column 'x'): null, or contains a null; fill it in or drop the row with dataset.filter",
            ),
            (
                [{"x": [1, None], "y": 1}],
                "row 0 (column 'x'): null, or contains a null; fill it in or drop the row with dataset.filter",
            ),
            (
                [{"x": [[1, 2], [3, None]], "y": 1}],
                "row 0 (column 'x'): null, or contains a null; fill it in or drop the row with dataset.filter",
            ),
            (
                [{"x": [1], "y": 1}, {"x": [1], "y": None}],
                "row 1 (column 'y'): null, or contains a null; fill it in or drop the row with dataset.filter",
            ),
            (
                [{"x": [[1, 2], [3]], "y": 1}],
                "row 0 (column 'x'): lists of different lengths within one sequence; "
                "every token needs the same shape",
            ),
            (
                [{"x": [torch.ones(2), torch.ones(3)], "y": 1}],
                "row 0 (column 'x'): lists of different lengths within one sequence; "
                "every token needs the same shape",
            ),
            (
                [{"x": [[1, 2]], "y": 1}, {"x": [[1, 2, 3]], "y": 1}],
                "row 1 (column 'x'): values of shape (3,) but (2,) before; every token needs the same shape",
            ),
            (
                [{"x": ["a", "b"], "y": 1}],
                "row 0 (column 'x'): values of dtype <U1, not numbers; encode them first",
            ),
            (
                [{"x": 3, "y": 1}],
                "row 0 (column 'x'): the single value 3, not a sequence; wrap it in a list",
            ),
            (
                [{"x": [1], "y": [1]}, {"x": [1], "y": 1}],
                "row 1 (column 'y'): the single value 1, not a sequence; wrap it in a list",
            ),
            (
                [{"x": np.array([2**63], dtype=np.uint64), "y": 1}],
                "column 'x' contains 9223372036854775808, which does not fit int64; map it to smaller numbers",
            ),
            (
                [{"x": [1.0, float("inf"), -1e300], "y": 1}],
                "column 'x' contains -1e+300, which float32 cannot hold; scale the column",
            ),
        ],
    )
    def test_bad_rows(self, rows, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            PackCollate("x", "y")(rows)

    def test_vectors_of_different_lengths(self):
        message = "row 1 (column 'y'): values of shape (1,) but (2,) before; every row needs the same shape"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            PackCollate("x", sequence_targets="y")([{"x": [1], "y": [0, 1]}, {"x": [1], "y": [0]}])

    @pytest.mark.parametrize("examples", [[], {"x": []}], ids=str)
    def test_no_examples(self, examples):
        with pytest.raises(ValueError, match="there is no example to collate"):
            PackCollate("x")(examples)

    @pytest.mark.parametrize("text", ["characters", "bytes"])
    def test_lone_surrogates(self, text):
        with pytest.raises(ValueError, match=r"row 1 \(column 'x'\): .* at position 1 is half of a character"):
            PackCollate("x", text=text)([{"x": "ab"}, {"x": "a\ud800"}])

    def test_no_columns(self):
        with pytest.raises(ValueError, match=r"^the batch has no column 'x'; it has none$"):
            PackCollate("x")({})

    def test_constructor(self):
        with pytest.raises(ValueError, match="names no column; it needs at least 1"):
            PackCollate([])
        with pytest.raises(ValueError, match=r"inputs=\['x', 'x'\]: contains 'x' twice"):
            PackCollate(["x", "x"])
        with pytest.raises(ValueError, match="column 'y' is in targets and in sequence_targets"):
            PackCollate("x", "y", sequence_targets="y")
        with pytest.raises(ValueError, match="text='words': must be one of 'characters', 'bytes'"):
            PackCollate("x", text="words")
        with pytest.raises(TypeError, match=r"max_length=2.5: must be an integer of at least 1"):
            PackCollate("x", max_length=2.5)
        with pytest.raises(ValueError, match="max_length=0: must be an integer of at least 1"):
            PackCollate("x", max_length=0)
