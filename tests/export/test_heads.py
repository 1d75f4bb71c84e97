"""Every kind of output."""

from functools import partial

import datasets
import numpy as np
import pytest
import torch

from seqkit import Classifier, Regressor, SequenceDataModule, Tagger
from seqkit.data import MultiLabels, Values
from seqkit.losses import Quantile
from seqkit.nn import GRU, LSTM, AttentionPool, Embedding, MaxPool
from tests.export.cases import TOLERANCE, about, check, export, feeds_of, raw_outputs, run
from tests.export.test_inputs import LENGTHS

EMBEDDING = partial(Embedding, embedding_dim=4)
ENCODER = partial(LSTM, hidden_size=5, bidirectional=True)
RANDOM = np.random.default_rng(1)
ROWS = {
    "words": [[f"w{i}" for i in RANDOM.integers(0, 9, n)] for n in LENGTHS],
    "tags": [[["O", "B-a", "I-a"][i] for i in [0, 1, 2, 0, 0][: n % 5 or 5] * (n // 5 + 1)][:n] for n in LENGTHS],
    "flags": [[[f"f{j}" for j in range(3) if RANDOM.random() < 0.5] for _ in range(n)] for n in LENGTHS],
    "label": ["abc"[n % 3] for n in LENGTHS],
    "labels": [[name for name in "abcd" if RANDOM.random() < 0.5] or ["a"] for _ in LENGTHS],
    "value": (RANDOM.normal(size=len(LENGTHS)) * 20 + 100).tolist(),
    "values": [(RANDOM.normal(size=n) * 3 - 50).tolist() for n in LENGTHS],
    "vector": (RANDOM.normal(size=(len(LENGTHS), 3)) * [1, 20, 300]).tolist(),
    "vectors": [(RANDOM.normal(size=(n, 2)) * [1, 20]).tolist() for n in LENGTHS],
}
TRAIN = datasets.Dataset.from_dict({name: values * 2 for name, values in ROWS.items()})


def build(task, targets, **options):
    data = SequenceDataModule(TRAIN, "words", targets, max_tokens=10**4, validation_fraction=0.0)
    return task(data.spec, **{"encoder": ENCODER, "embedding": EMBEDDING, **options})


HEADS = {
    "tags": partial(build, Tagger, "tags"),
    "sets of tags": partial(build, Tagger, "flags"),
    "label": partial(build, Classifier, "label"),
    "labels": partial(build, Classifier, {"labels": MultiLabels()}, pooling=MaxPool),
    "attention": partial(build, Classifier, "label", pooling=AttentionPool, attention=True),
    "value": partial(build, Regressor, "value"),
    "value with attention": partial(build, Regressor, "value", pooling=AttentionPool, attention=True),
    "values": partial(build, Regressor, "values", encoder=partial(GRU, hidden_size=4), causal=True),
    "vector": partial(build, Regressor, {"vector": Values(vectors=True)}),
    "vectors": partial(build, Regressor, {"vectors": Values(vectors=True)}),
    "quantiles": partial(build, Regressor, "value", loss=partial(Quantile, quantiles=[0.1, 0.5, 0.6, 0.9])),
    "quantiles of each step": partial(build, Regressor, "values", loss=Quantile),
    "one quantile": partial(build, Regressor, "values", loss=partial(Quantile, quantiles=[0.5])),
}


@pytest.mark.parametrize("name", HEADS)
def test_equals_the_model(name, tmp_path):
    check(HEADS[name](), tmp_path / "m.onnx", ROWS)


@pytest.mark.parametrize("name", ["tags", "sets of tags", "label", "labels"])
def test_scores(name, tmp_path):
    model = HEADS[name]()
    column = model.target_column
    session = export(model, tmp_path / "m.onnx", scores=True)
    found = run(session, feeds_of(session, ROWS))
    for place, (row, scores) in enumerate(zip(raw_outputs(model, ROWS), found[f"{column}_scores"], strict=True)):
        logits = torch.from_numpy(row)
        expected = logits.sigmoid() if model.labels.multilabel else logits.softmax(-1)
        if name == "tags":  # of the tag that was predicted
            expected = expected.amax(-1)
        np.testing.assert_allclose(scores[: LENGTHS[place]] if "tag" in name else scores, expected, **TOLERANCE)


def test_scores_are_there_if_asked_for_only(tmp_path):
    names = [value.name for value in export(HEADS["tags"](), tmp_path / "m.onnx").get_outputs()]
    assert names == ["tags", "tags_logits"]


def test_attention_sums_to_one(tmp_path):
    model = HEADS["attention"]()
    session = export(model, tmp_path / "m.onnx")
    weights = run(session, feeds_of(session, ROWS))["words_attention"]
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    for row, length in zip(weights, LENGTHS, strict=True):
        assert (row[length:] == 0).all()


def test_the_metadata_says_what_the_outputs_hold(tmp_path):
    outputs = about(export(HEADS["tags"](), tmp_path / "m.onnx", scores=True))["outputs"]
    shared = {"column": "tags", "per": "token", "names": ["B-a", "I-a", "O"], "scheme": "BIO"}
    assert outputs == {
        "tags": shared | {"holds": "labels"},
        "tags_scores": shared | {"holds": "scores"},
        "tags_logits": shared | {"holds": "logits"},
    }
    quantiles = about(export(HEADS["quantiles"](), tmp_path / "m.onnx"))["outputs"]["value"]
    assert quantiles["per"] == "sequence"
    assert quantiles["quantiles"] == pytest.approx([0.1, 0.5, 0.6, 0.9])


def test_labels_that_only_another_split_has_are_left_out(tmp_path):
    model = HEADS["label"]()
    model.set_unseen("test", ["z"])
    assert about(export(model, tmp_path / "m.onnx"))["outputs"]["label"]["names"] == ["a", "b", "c"]
