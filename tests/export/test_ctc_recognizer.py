from functools import partial

import pytest
import torch
from datasets import Dataset

from seqkit import CTCRecognizer
from seqkit.data import LabelSequences, learn_spec
from seqkit.export import to_onnx
from seqkit.nn import LSTM, Downsample, Embedding, Stack, Upsample
from tests.export.cases import export, feeds_of, predictions, run

ROWS = {"word": ["aab", "b", "ab", "ccaaabbabc" * 5], "phones": [["A", "B"], ["B"], ["A", "B"], ["C", "A"]]}


def built(*layers, **options):
    spec = learn_spec(Dataset.from_dict(ROWS), {"word": None}, {"phones": LabelSequences()})
    encoder = partial(Stack, layers=[partial(LSTM, hidden_size=6, bidirectional=True), *layers])
    return CTCRecognizer(spec, encoder=encoder, embedding=partial(Embedding, embedding_dim=5), **options)


@pytest.mark.parametrize(
    "layers",
    [(), (partial(Upsample, factor=2, output_size=6),), (partial(Downsample, factor=2),)],
    ids=["same steps", "more steps", "fewer steps"],
)
def test_labels_are_those_of_each_row_alone(layers, tmp_path):
    model = built(*layers)
    torch.nn.init.normal_(model.head.weight)
    session = export(model, tmp_path / "model.onnx")
    expected = predictions(model, ROWS)["phones"]
    assert any(expected)
    for rows in (ROWS, *({"word": [word]} for word in ROWS["word"])):
        emitted = run(session, feeds_of(session, rows))["phones"]
        found = [[model.names[label] for label in row if label >= 0] for row in emitted]
        assert found == [expected[ROWS["word"].index(word)] for word in rows["word"]]


def test_a_beam_is_refused(tmp_path):
    with pytest.raises(ValueError, match="beam_width=4, but the graph takes the most probable label of each step"):
        to_onnx(built(beam_width=4), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
