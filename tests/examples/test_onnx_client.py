"""The client predicts raw rows as the model does: for every shipped config, and without torch."""

import ast
import io
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import Dataset

from seqkit import Classifier, CTCRecognizer, Forecaster, LanguageModel, MultiTask, Regressor, Tagger
from seqkit.class_paths import class_at
from seqkit.data import (
    Features,
    Ids,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    TokenizerFile,
    WordCharacters,
    Words,
    WordShapes,
    learn_spec,
)
from seqkit.export import to_onnx
from seqkit.losses import Quantile
from seqkit.nn import CRF, GRU, LSTM, AttentionPool, CharacterCNN, Embedding, MeanPool
from seqkit.tasks.checkpoints.parts import build_arguments
from tests.export.test_configs import small

ROOT = Path(__file__).parents[2]
LENGTHS = [2, 1, 5, 250, 5, 3, 1]  # ties, and a giant
VOCABULARY = ["the", "cat", "sat", "on", "The", "mat", ",", "Ann", "New", "York", "U.S.", "1990", "!", "naïve"]


# Rows of every kind of column.


def words(length, draw):
    return draw.choice(VOCABULARY, length).tolist()


def text(length, draw):
    return " ".join(words(length, draw))


def letters(length, draw):
    return "".join(draw.choice(list("abc def\né"), length))


def series(channels):
    return lambda length, draw: (100 + 7 * draw.normal(size=(length, channels))).tolist()


def tags(*names):
    return lambda length, draw: draw.choice(names, length).tolist()


def one_of(*names):
    return lambda length, draw: str(draw.choice(names))


def several(*names):
    return lambda length, draw: sorted(set(draw.choice(names, 2).tolist()))


def sets(*names):
    return lambda length, draw: [several(*names)(1, draw) for _ in range(length)]


def rows_of(columns, seed=0):
    """Return a row of each length, by column."""
    draw = np.random.default_rng(seed)
    return {name: [make(length, draw) for length in LENGTHS] for name, make in columns.items()}


ENTITIES = tags("O", "B-person", "I-person", "B-place", "I-place")
CONFIGS = {  # by config, the columns of its rows
    "cmapss_forecast": {"channels": series(24)},
    "cmapss_rul": {
        "channels": series(24),
        "rul": lambda length, draw: (80 + 9 * draw.normal(size=length)).tolist(),
    },
    "cmudict_g2p": {"word": letters, "phones": tags("AH0", "B", "S")},
    "conll2003_ner": {"tokens": words, "ner_tags": ENTITIES},
    "ewt_multitask": {"form": words, "upos": tags("DET", "NOUN"), "xpos": tags("DT", "NN", "NNS")},
    "ewt_upos": {"form": words, "upos": tags("DET", "NOUN", "VERB")},
    "go_emotions": {"text": text, "labels": several("joy", "grief", "surprise")},
    "highlight": {"text": letters, "kinds": tags("name", "string", "operator")},
    "imdb": {"text": text, "label": one_of("neg", "pos")},
    "japanese_vowels": {"series": series(12), "label": one_of(*"123456789")},
    "shakespeare_char": {"text": letters},
    "snli": {"premise": text, "hypothesis": text, "label": one_of("neutral", "entailment")},
    "wnut17_ner": {"tokens": words, "tags": ENTITIES},
}


def encoders(given):
    """Return the encoders that a config names, by column."""
    if not isinstance(given, dict):
        return dict.fromkeys([given] if isinstance(given, str) else given or [])
    return {name: class_at(part["class_path"])(**part.get("init_args", {})) for name, part in given.items()}


def config_model(name, rows):
    """Return the model of a config, small and with random weights."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    given, unaligned = config["data"], config["data"].get("unaligned", [])
    unaligned = [unaligned] if isinstance(unaligned, str) else unaligned
    spec = learn_spec(Dataset.from_dict(rows), encoders(given["inputs"]), encoders(given.get("targets")), unaligned)
    cls = class_at(config["model"]["class_path"])
    return cls(spec, **build_arguments(cls, small(config["model"]["init_args"]), trust=(), place="model"))


# Models with what no config has.

TOKENIZER = json.dumps(
    {
        "version": "1.0",
        **dict.fromkeys(["truncation", "padding", "normalizer", "decoder"]),
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[S]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"[S]": {"id": "[S]", "ids": [1], "tokens": ["[S]"]}},
        },
        "model": {"type": "WordLevel", "vocab": {"[U]": 0, "[S]": 1, "the": 2, "cat": 3}, "unk_token": "[U]"},
    }
)
SMALL = {
    "embedding": partial(Embedding, embedding_dim=5),
    "encoder": partial(LSTM, hidden_size=4, bidirectional=True),
}
ONE_WAY = {"embedding": SMALL["embedding"], "encoder": partial(GRU, hidden_size=4)}
OTHERS = {  # by name: the columns, the inputs, the targets, the class, its options
    "all encoders of words": (
        {"words": words, "label": one_of("a", "b", "c")},
        {
            "words": ShapedWords(suffix=2),
            "letters": WordCharacters(column="words", min_frequency=1),
            "shapes": WordShapes(column="words"),
            "lower": Words(lowercase=True, column="words"),
        },
        {"label": None},
        partial(Classifier, embeddings={"letters": partial(CharacterCNN, embedding_dim=4, filters=3)}, **SMALL),
    ),
    "a tokenizer's file": (
        {"text": text, "value": lambda length, draw: float(length)},
        {"text": TokenizerFile(tokenizer=TOKENIZER)},
        {"value": None},
        partial(Regressor, pooling=MeanPool, **SMALL),
    ),
    "ids, series and sets": (
        {
            "ids": lambda length, draw: draw.integers(0, 9, length).tolist(),
            "series": lambda length, draw: series(1)(length, draw),
            "raw": series(2),
            "notes": sets("c", "e", "g"),
            "chord": sets("major", "minor"),
        },
        {"ids": Ids(), "series": None, "raw": Features(standardize=False), "notes": MultiLabels()},
        {"chord": None},
        partial(Tagger, **SMALL),
    ),
    "quantiles": (
        {"series": series(2), "value": lambda length, draw: draw.normal(size=length).tolist()},
        {"series": None},
        {"value": None},
        partial(Regressor, encoder=SMALL["encoder"], loss=partial(Quantile, quantiles=[0.1, 0.5, 0.9])),
    ),
    "one channel": ({"series": series(1)}, {"series": None}, {}, partial(Forecaster, encoder=ONE_WAY["encoder"])),
    "several targets": (
        {"words": words, "tags": ENTITIES, "label": one_of("a", "b"), "sets": several("x", "y", "z")},
        {"words": None},
        dict.fromkeys(["tags", "label", "sets"]),
        partial(
            MultiTask,
            heads={
                "tags": partial(Tagger, decoder=CRF),
                "label": partial(Classifier, pooling=AttentionPool, attention=True),
            },
            **SMALL,
        ),
    ),
    "words in two directions": (
        {"words": words},
        {"words": None},
        {},
        partial(LanguageModel, bidirectional=True, **ONE_WAY),
    ),
    "labels of texts": (
        {"text": text, "letters": letters},
        {"text": Words()},
        {"letters": LabelSequences()},
        partial(CTCRecognizer, **SMALL),
    ),
}


def other_model(name, rows):
    _, inputs, targets, build = OTHERS[name]
    return build(learn_spec(Dataset.from_dict(rows), inputs, targets))


@pytest.fixture(scope="module")
def client(load):
    return load("onnx_client")


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


def assert_same(found, expected):
    """Labels and structure are equal, numbers nearly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, float):
        assert type(found) is float
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    else:
        assert type(found) is type(expected)
        assert found == expected


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


# What cannot be read.


@pytest.fixture(scope="module")
def tagger(client, tmp_path_factory):
    """The file of a tagger of words and their characters."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(config_model("ewt_upos", rows_of(CONFIGS["ewt_upos"])), path)
    return path


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("the cat", r"row 1, column 'form': expected a list of words, not \"the cat\""),
        ([1, 2], r"row 1, column 'form': expected a list of words, not \[1, 2\]"),
        ([], "row 1, column 'form': there is no token; drop the row"),
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


def test_files_that_the_client_cannot_use(client, tagger):
    with pytest.raises(ValueError, match="has no metadata of seqkit; write it with `python -m seqkit export`"):
        client.Model(changed(tagger))
    spec = {"inputs": {"form": {"class_path": "my.Encoder", "init_args": {}, "kind": "ids", "size": 3}}}
    with pytest.raises(ValueError, match=r"input 'form' of .* is encoded by my.Encoder, .* add a function for it"):
        client.Model(changed(tagger, spec=spec))
    with pytest.raises(ValueError, match=r"'upos' of .* holds 'maps', which this client does not know"):
        client.Model(changed(tagger, outputs={"upos": {"holds": "maps"}}))


# Spans and the command line.


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


def test_one_row_alone(client, tagger):
    read = client.Model(tagger)
    (expected,) = read.predict([["the", "cat"]])
    assert read.predict(["the", "cat"]) == expected
    assert read.predict(np.array(["the", "cat"])) == expected
    assert read.predict([["the", "cat"], ["the", "cat"]]) == [expected] * 2
    assert read.predict([]) == []


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
