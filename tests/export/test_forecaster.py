from functools import partial

import numpy as np
import pytest
from datasets import Dataset

from seqkit import Forecaster
from seqkit.data import learn_spec
from seqkit.export import to_onnx
from seqkit.nn import GRU, LSTM
from tests.export.cases import TOLERANCE, export, feeds_of, predictions, run


def series(length, channels, seed):
    values = 50 + 9 * np.random.default_rng(seed).normal(size=(length, channels))
    return values.tolist()


@pytest.mark.parametrize(("channels", "horizon"), [(1, 1), (1, 3), (4, 1), (4, 3)])
def test_the_steps_that_follow_each_series(channels, horizon, tmp_path):
    rows = {"series": [series(length, channels, length) for length in (3, 1, 60, 2, 3)]}
    spec = learn_spec(Dataset.from_dict(rows), {"series": None}, {})
    model = Forecaster(spec, horizon=horizon, encoder=partial(LSTM, hidden_size=6))
    session = export(model, tmp_path / "model.onnx")
    expected = np.array(predictions(model, rows)["series"])
    found = run(session, feeds_of(session, rows))["series"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, **TOLERANCE)
    alone = run(session, feeds_of(session, {"series": rows["series"][:1]}))["series"]
    np.testing.assert_allclose(alone[0], expected[0], **TOLERANCE)


def test_one_series_of_several(tmp_path):
    rows = {"a": [series(5, 2, 0)], "b": [series(5, 3, 1)]}
    spec = learn_spec(Dataset.from_dict(rows), {"a": None, "b": None}, {})
    model = Forecaster(spec, column="b", encoder=partial(GRU, hidden_size=6))
    to_onnx(model, tmp_path / "model.onnx")
    session = export(model, tmp_path / "model.onnx")
    found = run(session, feeds_of(session, rows))
    np.testing.assert_allclose(found["b"], predictions(model, rows)["b"], **TOLERANCE)
