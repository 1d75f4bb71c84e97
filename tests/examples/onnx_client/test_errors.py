"""What the client cannot read is named."""

import json

import pytest

from seqkit.export import to_onnx
from tests.examples.onnx_client.cases import (
    CONFIGS,
    OTHERS,
    config_model,
    other_model,
    rows_of,
)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("the cat", r"row 1, column 'form': expected a list of words, not \"the cat\""),
        ([1, 2], r"row 1, column 'form': expected a list of words, not \[1, 2\]"),
        ([], "row 1, column 'form': there is no token; drop the row, or pass empty=\"none\""),
        (["a", 3], r"row 1, column 'form': expected a list of words, not \[\"a\", 3\]"),
        (["a", "\ud800"], r"row 1, column 'form': '\\ud800' is half of a character \(a lone surrogate\)"),
        ({"words": ["the"]}, r"row 1 lacks the column 'form'; it has \['words'\]"),
        (None, "row 1, column 'form': expected a list of words, not null"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(client, tagger, row, message):
    with pytest.raises(ValueError, match=message):
        client.Model(tagger).predict([["the", "cat"], row])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ids, series and sets", {"ids": [99]}, r"column 'ids': expected ids from 0 to \d, not \[99\]"),
        (
            "ids, series and sets",
            {"raw": [[1.0]]},
            r"column 'raw': expected steps of 2 channels each, not \[\[1.0\]\]",
        ),
        ("ids, series and sets", {"raw": [[1.0, float("nan")]]}, "column 'raw': expected finite numbers"),
        ("ids, series and sets", {"raw": [[1.0, 1e300]]}, "'raw': expected numbers that float32 can hold"),
        ("ids, series and sets", {"raw": [["1", "2"]]}, "column 'raw': expected numbers, not"),
        ("ids, series and sets", {"raw": [[True, False]]}, "column 'raw': expected numbers, not"),
        ("ids, series and sets", {"notes": [["h"]]}, "column 'notes': expected labels among c, e, g"),
        ("ids, series and sets", {"series": [1.0, 2.0]}, "row 0: 2 tokens in 'series', but 1 in 'ids'"),
        ("ids, series and sets", {"ids": [True]}, r"column 'ids': expected a list of ids, not \[true\]"),
        ("highlight", {"text": "a\udc00"}, r"column 'text': '\\udc00' is half of a character"),
        ("imdb", {"text": "a \udc00"}, r"column 'text': '\\udc00' is half of a character"),
        ("a tokenizer's file", {"text": "\ud800 a"}, r"column 'text': '\\ud800' is half of a character"),
        ("highlight", {"text": 3}, "column 'text': expected a text or a list of characters, not 3"),
        ("a tokenizer's file", {"text": ["a"]}, "column 'text': expected a text, not"),
    ],
)
def test_a_value_that_an_encoder_does_not_read(client, tmp_path, name, value, message):
    rows = rows_of(CONFIGS[name] if name in CONFIGS else OTHERS[name][0])
    to_onnx((config_model if name in CONFIGS else other_model)(name, rows), tmp_path / "model.onnx")
    row = {column: values[1] for column, values in rows.items()} | value
    with pytest.raises(ValueError, match=message):
        client.Model(tmp_path / "model.onnx").predict([row])


def test_scores_that_the_file_lacks(client, tagger):
    with pytest.raises(ValueError, match="the file has no scores; export it with `--scores`"):
        client.Model(tagger).predict([["the"]], scores=True)


def changed(path, **metadata):
    """Write a copy of a file with other metadata."""
    import onnx

    model = onnx.load(path)
    written = json.loads(model.metadata_props[0].value) | metadata
    onnx.helper.set_model_props(model, {"seqkit": json.dumps(written)} if metadata else {})
    onnx.save(model, path.with_name("changed.onnx"))
    return path.with_name("changed.onnx")


def test_files_that_are_none_of_onnx(client, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.onnx; write it with `python -m seqkit export`"):
        client.Model(tmp_path / "gone.onnx")
    (tmp_path / "notes.onnx").write_text("notes")
    with pytest.raises(ValueError, match=r"notes\.onnx is no ONNX file, or one for a later onnxruntime"):
        client.Model(tmp_path / "notes.onnx")


def test_files_that_the_client_cannot_use(client, tagger):
    with pytest.raises(ValueError, match="has no metadata of seqkit; write it with `python -m seqkit export`"):
        client.Model(changed(tagger))
    spec = {"inputs": {"form": {"class_path": "my.Encoder", "init_args": {}, "kind": "ids", "size": 3}}}
    with pytest.raises(ValueError, match=r"input 'form' of .* is encoded by my.Encoder, .* add a function for it"):
        client.Model(changed(tagger, spec=spec))
    with pytest.raises(ValueError, match=r"'upos' of .* holds 'maps', which this client does not know"):
        client.Model(changed(tagger, outputs={"upos": {"holds": "maps"}}))
