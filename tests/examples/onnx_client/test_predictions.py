"""The client predicts raw rows as the model does, for every shipped config."""

import numpy as np
import pytest

from seqkit.export import to_onnx
from tests.examples.onnx_client.cases import (
    CONFIGS,
    LENGTHS,
    OTHERS,
    ROOT,
    assert_same,
    config_model,
    other_model,
    rows_of,
)


@pytest.fixture(scope="module", params=[*CONFIGS, *OTHERS])
def exported(request, client, tmp_path_factory):
    """A model, the client of its file, and its raw rows as dicts of the input columns."""
    name = request.param
    columns = CONFIGS[name] if name in CONFIGS else OTHERS[name][0]
    rows = rows_of(columns)
    model = (config_model if name in CONFIGS else other_model)(name, rows)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(model, path, scores=True)
    read = client.Model(path, threads=1)
    dicts = [{column: rows[column][i] for column in read.columns} for i in range(len(LENGTHS))]
    return model, read, dicts


def test_every_config_has_rows():
    assert sorted(CONFIGS) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def test_predictions_are_those_of_the_model(exported):
    model, read, rows = exported
    expected = model.predict(rows)
    assert_same(read.predict(rows), expected)
    assert_same(read.predict(rows, max_tokens=4), expected)
    assert_same(read.predict(rows[1]), expected[1])


def test_scores_are_those_of_the_model(exported):
    model, read, rows = exported
    assert_same(read.predict(rows, scores=True), model.predict(rows, scores=True))


def test_values_of_the_only_column(exported):
    _, read, rows = exported
    if len(read.columns) > 1:
        with pytest.raises(ValueError, match=r"row 0: the model reads the columns .*; give a dict with them"):
            read.predict(["x"])
        return
    values = [np.array(row[read.columns[0]]) if "series" in row else row[read.columns[0]] for row in rows]
    assert_same(read.predict(values), read.predict(rows))


def test_one_row_alone(client, tagger):
    read = client.Model(tagger)
    (expected,) = read.predict([["the", "cat"]])
    assert read.predict(["the", "cat"]) == expected
    assert read.predict(np.array(["the", "cat"])) == expected
    assert read.predict([["the", "cat"], ["the", "cat"]]) == [expected] * 2
    assert read.predict([]) == []


def test_empty_rows(exported):
    model, read, rows = exported
    main = next(iter(read.entries.values())).get("column", next(iter(read.entries)))
    empty = {column: value[:0] for column, value in rows[0].items()}
    mixed = [rows[0], empty, rows[1], empty]
    expected = model.predict(mixed, empty="none")
    assert_same(read.predict(mixed, empty="none"), expected)
    if expected[1] is not None:  # a tokenizer may add tokens to an empty text
        return
    assert read.predict([empty], empty="none") == [None]
    with pytest.raises(ValueError, match=rf"row 1, column '{main}': there is no token"):
        read.predict(mixed)
    with pytest.raises(ValueError, match="empty='drop': must be 'raise' or 'none'"):
        read.predict(mixed, empty="drop")
