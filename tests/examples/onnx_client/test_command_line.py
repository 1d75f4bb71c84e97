"""The client as a program, which needs neither torch nor seqkit."""

import ast
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqkit.export import to_onnx
from tests.examples.onnx_client.cases import (
    CONFIGS,
    assert_same,
    config_model,
    rows_of,
)


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-a I-a O B-a B-a", [("a", 0, 2), ("a", 3, 4), ("a", 4, 5)]),
        ("I-a I-a I-b", [("a", 0, 2), ("b", 2, 3)]),
        ("O I-a B-a I-a", [("a", 1, 2), ("a", 2, 4)]),
        ("B-a I-a E-a S-b I-b", [("a", 0, 3), ("b", 3, 4), ("b", 4, 5)]),
        ("O O", []),
    ],
)
def test_spans(client, tags, spans):
    expected = [{"type": kind, "start": start, "end": end} for kind, start, end in spans]
    assert client.read_spans(tags.split()) == expected


def test_command_line(client, tagger, monkeypatch, capsys):
    lines = '["the", "cat"]\n{"form": ["sat"]}\n'
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    client.main([str(tagger), "--threads", "1"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == client.Model(tagger).predict([["the", "cat"], ["sat"]])
    client.main([str(tagger), "--text", "the cat", "--text", "sat"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == found
    monkeypatch.setattr(sys, "stdin", io.StringIO('"the cat"\n'))
    with pytest.raises(SystemExit):
        client.main([str(tagger)])
    assert "row 0, column 'form': expected a list of words" in capsys.readouterr().err


def test_texts_of_the_command_line(client, tmp_path, capsys):
    model = config_model("imdb", rows_of(CONFIGS["imdb"]))
    to_onnx(model, tmp_path / "model.onnx", scores=True)
    texts = ["The cat sat.", "Ann, in New York!"]
    client.main([str(tmp_path / "model.onnx"), "--scores", "--text", texts[0], "--text", texts[1]])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert_same(found, model.predict(texts, scores=True))


WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(["torch", "seqkit", "lightning", "datasets", "pyarrow"]))  # cannot be imported
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_neither_torch_nor_seqkit_is_needed(tagger, client):
    program = [sys.executable, "-c", WITHOUT, client.__file__, str(tagger)]
    done = subprocess.run(program, input='["the", "cat"]\n', capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == client.Model(tagger).predict([["the", "cat"]])[0]


def test_the_client_imports_three_libraries(client):
    tree = ast.parse(Path(client.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert outside == {"numpy", "onnxruntime", "tokenizers"}


def test_series_on_the_command_line(client, tmp_path, capsys, monkeypatch):
    path = tmp_path / "model.onnx"
    to_onnx(config_model("japanese_vowels", rows_of(CONFIGS["japanese_vowels"])), path)
    series = [[0.5] * 12, [1.0] * 12]
    client.main([str(path), "--text", json.dumps(series), "--text", json.dumps({"series": []}), "--empty", "none"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found == [client.Model(path).predict([series])[0], None]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{json.dumps(series)}\nmore\n"))
    for arguments, row in ((["--text", "more"], 0), ([], 1)):
        with pytest.raises(SystemExit):
            client.main([str(path), *arguments])
        assert f"row {row}: 'more' is no JSON (Expecting value" in capsys.readouterr().err
