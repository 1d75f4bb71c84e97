import re

import numpy as np
import pytest
import torch
from datasets import Array2D, Dataset, List, Value
from datasets import Features as Columns
from hypothesis import given
from hypothesis import strategies as st

from seqkit import SequenceDataModule
from seqkit.data.encoders import Features, RowError, Values


def fitted(encoder, values, feature=None):
    features = None if feature is None else Columns({"x": feature})
    return encoder.fit(Dataset.from_dict({"x": values}, features), "x")


def series(draw_lengths, channels, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(5, 3, (length, channels)).astype(np.float32) for length in draw_lengths]


class TestFeatures:
    @given(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any), st.integers(1, 3))
    def test_standardises_with_training_statistics(self, lengths, channels):
        rows = series(lengths, channels)
        encoder = fitted(Features(), [row.tolist() for row in rows], List(List(Value("float32"), length=channels)))
        frames = np.concatenate(rows).astype(np.float64)
        std = np.where(len(frames) > 1, frames.std(axis=0), 1)
        expected = [(row - frames.mean(axis=0)) / std for row in rows]
        for got, row in zip(encoder.encode(rows), expected, strict=True):
            np.testing.assert_allclose(np.reshape(got, row.shape), row, atol=1e-6)

    def test_statistics_are_exact_over_many_batches_and_far_from_zero(self):
        generator = np.random.default_rng(0)
        values = 1e8 + generator.normal(0, 1e-2, (2500, 4, 1))
        encoder = fitted(Features(), values.tolist(), List(List(Value("float64"))))
        assert encoder.init_args()["std"] == pytest.approx([values.std()], rel=1e-6)
        assert encoder.init_args()["mean"] == pytest.approx([values.mean()], rel=1e-15)

    def test_a_constant_channel_is_centred(self):
        encoder = fitted(Features(), [[[0.1, 1.0]] * 3, [[0.1, 3.0]] * 3])
        assert encoder.init_args()["std"] == [1.0, 1.0]
        np.testing.assert_allclose(encoder.encode([[[0.1, 3.0]]]), [[[0.0, 1.0]]], atol=1e-7)

    @pytest.mark.parametrize("value", [[1, 2, 3], [1.0, 2.0, 3.0]])
    def test_one_channel_without_its_axis(self, value):
        encoder = fitted(Features(standardize=False), [value])
        assert encoder.size == 1
        assert encoder.encode([value, value[:1]]) == [[[1.0], [2.0], [3.0]], [[1.0]]]

    def test_without_standardisation(self):
        encoder = fitted(Features(standardize=False), [[[1.0, 2.0]]])
        assert encoder.init_args() == {"standardize": False, "mean": [0.0, 0.0], "std": [1.0, 1.0]}
        assert Features(**encoder.init_args()).encode([[[7.0, 8.0]]]) == [[[7.0, 8.0]]]

    def test_array_types(self):
        rows = [np.arange(4, dtype=np.float32).reshape(2, 2)] * 2
        assert fitted(Features(standardize=False), rows, Array2D((2, 2), "float32")).size == 2
        encoder = Features(mean=[0.0, 0.0], std=[2.0, 2.0])
        assert encoder.encode([torch.tensor([[2.0, 4.0]]), np.array([[1.0, 0.0]])]) == [[[1.0, 2.0]], [[0.5, 0.0]]]

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_not_finite(self, value):
        rows = [[[0.0, 0.0]]] * 1500 + [[[0.0, 0.0], [0.0, value]]]
        message = rf"row 1500: channel 1 is {value} at step 1; fill it in or drop the row"
        with pytest.raises(RowError, match=message):
            fitted(Features(), rows)
        with pytest.raises(RowError, match=message):
            Features(mean=[0.0, 0.0], std=[1.0, 1.0]).encode(rows)

    def test_null(self):
        with pytest.raises(RowError, match=r"row 0: channel 1 has no value \(null\) at step 0"):
            fitted(Features(), [[[1.0, None]]])

    def test_different_numbers_of_channels(self):
        with pytest.raises(RowError, match="row 1001: 1 channels at step 1, expected 2"):
            fitted(Features(), [[[1.0, 2.0]]] * 1001 + [[[1.0, 2.0], [1.0]]])

    def test_other_types(self):
        with pytest.raises(RowError, match=r"Features reads series of numbers, \(T, D\) or \(T,\), not"):
            fitted(Features(), [["a"]])
        with pytest.raises(RowError, match=r"Features reads series of numbers, \(T, D\) or \(T,\), not"):
            fitted(Features(), [1.0])

    def test_nothing_to_learn(self):
        with pytest.raises(ValueError, match="column 'x' contains no time step to learn from"):
            fitted(Features(), [[]], List(Value("float32")))

    def test_mean_without_std(self):
        with pytest.raises(ValueError, match=r"mean=\[1\.0\] and std=None must be given together"):
            Features(mean=[1.0])


class TestValues:
    def test_per_sequence_and_per_token(self):
        assert Values().encode([1, 2]) == [1.0, 2.0]
        assert Values().encode([[1.5], [2.5, 3.5], []]) == [[1.5], [2.5, 3.5], []]
        assert Values().size == 1

    def test_learns_the_scale_and_keeps_the_values(self):
        encoder = fitted(Values(), [[1.0], [2.0, 3.0]])
        assert encoder.init_args() == pytest.approx({"mean": 2.0, "std": np.sqrt(2 / 3)})
        assert encoder.encode([[1.0]]) == [[1.0]]
        assert fitted(Values(), [4, 4]).init_args() == {"mean": 4.0, "std": 1.0}

    def test_not_finite(self):
        with pytest.raises(RowError, match="row 1: the target at position 1 is nan; fill it in or drop the row"):
            Values().encode([[1.0], [2.0, float("nan")]])
        with pytest.raises(RowError, match="row 1: the target is inf; fill it in or drop the row"):
            Values().encode([1.0, float("inf")])
        with pytest.raises(RowError, match=r"row 1: there is no value \(null\)"):
            Values().encode([1.0, None])

    def test_other_types(self):
        with pytest.raises(
            RowError, match=r"Values reads numbers or lists of numbers, not .*; use Labels for classes"
        ):
            Values().encode(["high"])


LARGE = r"which float32 cannot hold; scale the column, correct the value or drop the row"


class TestNumbersThatFloat32CannotHold:
    @pytest.mark.parametrize("value", [1e300, -1e39, 3.5e38])
    @pytest.mark.parametrize("standardize", [True, False])
    def test_features(self, value, standardize):
        rows = [[[1.0, 2.0]], [[0.0, 1.0], [3.0, value]]]
        message = f"row 1: channel 1 is {re.escape(str(value))} at step 1, {LARGE}"
        for encoder in (Features(standardize), Features(standardize, [0.0, 0.0], [1.0, 1.0])):
            with pytest.raises(RowError, match=message):
                fitted(encoder, rows).encode(rows)

    def test_a_standardised_feature(self):
        """The row is in range, and far outside of the training split."""
        encoder = fitted(Features(), [[1.0, 1.0 + 1e-6]])
        with pytest.raises(RowError, match=f"row 1: channel 0 is .*e.4.* standardised, at step 0, {LARGE}"):
            encoder.encode([[1.0], [1e38]])

    @pytest.mark.parametrize("value", [1e300, -1e39])
    def test_values(self, value):
        for rows, place in ([1.0, value], ""), ([[1.0], [2.0, value]], " at position 1"):
            message = f"row 1: the target{place} is {re.escape(str(value))}, {LARGE}"
            for encoder in (Values(), Values(0.0, 1.0)):
                with pytest.raises(RowError, match=message):
                    fitted(encoder, rows).encode(rows)

    @pytest.mark.parametrize(("mean", "std"), [(1e300, 1.0), (0.0, 1e300), (0.0, 0.0), (0.0, -1.0), (0.0, 1e-60)])
    def test_statistics(self, mean, std):
        for make in (lambda: Values(mean, std), lambda: Features(mean=[0.0, mean], std=[1.0, std])):
            with pytest.raises(ValueError, match="cannot standardise values in float32"):
                make()

    def test_values_too_close_to_each_other(self):
        with pytest.raises(ValueError, match="std=5e-61 cannot standardise values in float32"):
            fitted(Values(), [1e-60, 2e-60])

    def test_the_largest_values(self):
        largest = float(np.finfo(np.float32).max)
        encoder = fitted(Values(), [largest, -largest])
        assert np.isfinite(encoder.encode([largest])).all()
        rows = [[largest], [-largest]]
        assert np.allclose(fitted(Features(), rows).encode(rows), [[[1.0]], [[-1.0]]])


@pytest.mark.parametrize(("column", "encoder"), [("x", Features()), ("y", Values())])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_error_names_the_split(column, encoder, split):
    rows = {"x": [[1.0], [2.0, 3.0]], "y": [0.0, 1.0]}
    broken = rows | {column: [rows[column][0], [1e300, 3.0] if column == "x" else 1e300]}
    splits = {name: Dataset.from_dict(broken if name == split else rows) for name in ("train", "validation")}
    with pytest.raises(ValueError, match=rf"{split} row 1 \(?.*column '{column}'.* is 1e\+300.*{LARGE}"):
        SequenceDataModule(splits, inputs={"x": Features()}, targets={"y": Values()}).rows(split)


class TestVectors:
    @pytest.mark.parametrize(
        "feature", [List(Value("float64")), List(Value("float32"), length=3), List(Value("int32"))]
    )
    def test_one_for_each_row(self, feature):
        rows = [[1.0, 10.0, 5.0], [3.0, 30.0, 5.0]]
        encoder = fitted(Values(vectors=True), rows, feature)
        assert encoder.init_args() == {"mean": [2.0, 20.0, 5.0], "std": [1.0, 10.0, 1.0], "vectors": True}
        assert encoder.size == 3
        assert encoder.encode(rows) == rows
        assert Values(**encoder.init_args()).item_feature == List(Value("float32"), length=3)

    def test_one_for_each_token(self):
        rows = [[[1.0, 2.0], [3.0, 4.0]], [], [[5.0, 6.0]]]
        encoder = fitted(Values(vectors=True), rows, List(List(Value("float64"))))
        assert encoder.mean == [3.0, 4.0]
        assert encoder.encode(rows) == rows

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([[1.0, 2.0], [1.0]], "row 1: the target has 1 numbers, expected 2; correct or drop the row"),
            ([[], []], "row 0: the target has 0 numbers, expected 1"),
            ([[[1.0], [1.0, 2.0]]], "row 0: the target at position 1 has 2 numbers, expected 1"),
            ([[1.0, 2.0], [1.0, None]], r"row 1: there is no value \(null\) at position 1"),
            ([[1.0, 2.0], [1.0, float("nan")]], "row 1: the target at position 1 is nan; fill it in"),
            ([[[1.0, 2.0]], [[1.0, 2.0], [1.0, 1e39]]], f"row 1: the target at position 3 is 1e.39, {LARGE}"),
            ([1.0], "Values with vectors=True reads lists of numbers, or lists of these, not"),
            ([["a"]], "Values reads numbers or lists of numbers, not"),
        ],
    )
    def test_errors(self, rows, message):
        with pytest.raises(RowError, match=message):
            fitted(Values(vectors=True), rows)

    def test_arguments(self):
        for mean, std, vectors in ((1.0, [1.0], True), ([1.0], [1.0, 2.0], True)):
            with pytest.raises(ValueError, match="must be given together, one number each"):
                Values(mean, std, vectors)
        for mean, std, vectors in ((1.0, 1.0, True), ([1.0], [1.0], False)):
            with pytest.raises(ValueError, match=f"vectors={vectors}; give a list for vectors, otherwise a number"):
                Values(mean, std, vectors)
