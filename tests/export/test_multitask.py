from functools import partial

import numpy as np

from seqkit import Classifier, MultiTask, SequenceDataModule, Tagger
from seqkit.nn import CRF, GRU, AttentionPool, Embedding
from tests.export.cases import TOLERANCE, decoded, export, feeds_of, predictions, run

TARGETS = ["tags", "flags", "label", "labels", "values", "value"]
WORDS = [["w1", "w2"], ["w3"], ["w4", "w5"] * 20, ["w9", "w8"], ["new", "w1", "w0"]]


def compare(splits, path, **heads):
    """Compare the graph with the model on each row alone, in a batch and in batches of one; return the names."""
    data = SequenceDataModule(splits, inputs="words", targets=TARGETS, max_tokens=64)
    embedding, encoder = partial(Embedding, embedding_dim=6), partial(GRU, hidden_size=5, bidirectional=True)
    model = MultiTask(data.spec, encoder=encoder, embedding=embedding, heads=heads)
    session = export(model, path, scores=True)
    expected = predictions(model, {"words": WORDS})
    for places in (range(len(WORDS)), *([i] for i in range(len(WORDS)))):
        feeds = feeds_of(session, {"words": [WORDS[i] for i in places]})
        found = decoded(session, run(session, feeds), feeds["lengths"])
        for column, values in expected.items():
            for own, place in zip(found[column], places, strict=True):
                if isinstance(own, np.ndarray | np.floating):
                    np.testing.assert_allclose(own, values[place], **TOLERANCE)
                else:
                    assert own == values[place]
    return set(found)


def test_targets_of_all_kinds(splits, tmp_path):
    names = compare(splits, tmp_path / "model.onnx")
    assert names >= {*TARGETS, "tags_scores", "label_scores"}


def test_heads_of_their_own(splits, tmp_path):
    attentive = partial(Classifier, pooling=AttentionPool, attention=True)
    crf = partial(Tagger, decoder=CRF, dropout=0.5)
    assert "label_words_attention" in compare(splits, tmp_path / "model.onnx", tags=crf, label=attentive)
