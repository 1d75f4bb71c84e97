import sys
from functools import partial

import onnx
import pytest
from torch.optim import Adam

import seqkit
from seqkit import Tagger
from seqkit.class_paths import public_path
from seqkit.export import OPSET, Graph, onnx_model, to_onnx, to_proto
from seqkit.nn import LSTM, Embedding
from tests.cli.cases import small_tagger
from tests.export.cases import about, check, export, session_of

PARTS = {"encoder": partial(LSTM, hidden_size=3), "embedding": partial(Embedding, embedding_dim=3)}


class Own(Tagger):
    pass


@pytest.fixture(scope="module")
def model(splits):
    return small_tagger(splits, Adam)[0]


def test_the_file(model, splits, tmp_path):
    path = tmp_path / "new" / "model.onnx"
    to_onnx(model.train(), str(path))
    assert model.training
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", OPSET)]
    assert (proto.producer_name, proto.producer_version) == ("seqkit", seqkit.__version__)
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    metadata = about(session_of(path))
    assert metadata["seqkit"] == seqkit.__version__
    assert metadata["task"] == public_path(Tagger) == "seqkit.Tagger"
    assert metadata["spec"] == model.spec
    assert metadata["inputs"] == {
        "lengths": {"column": "words", "holds": "lengths"},
        "words": {"column": "words", "holds": "ids"},
    }
    rows = {"words": splits["test"]["words"][:4]}
    check(model, path, rows)


def test_dimensions_are_named(model, tmp_path):
    session = export(model, tmp_path / "m.onnx")
    assert {value.name: value.shape for value in session.get_inputs()} == {
        "lengths": ["batch"],
        "words": ["batch", "time"],
    }
    assert [value.shape for value in session.get_outputs()] == [["batch", "time"], ["batch", "time", 2]]


def test_names_in_any_script(splits, tmp_path):
    """JSON with words and labels beyond ASCII, and quotation marks."""
    renamed = splits["train"].map(lambda row: {"tags": [f'«{tag}» "é" 名' for tag in row["tags"]]})
    data = seqkit.SequenceDataModule(renamed, "words", "tags", max_tokens=64)
    model = Tagger(data.spec, **PARTS)
    metadata = about(export(model, tmp_path / "m.onnx"))
    assert metadata["outputs"]["tags"]["names"] == data.spec["targets"]["tags"]["names"]


def test_a_refused_model_leaves_an_older_file(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("older")

    other = Own(model.spec, **PARTS)
    with pytest.raises(ValueError, match=r"no ONNX graph is known for the task Own; there is one for .*Tagger"):
        to_onnx(other, path)
    assert path.read_text() == "older"


def test_weights_that_no_file_can_hold(model, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_model, "_LARGEST", 1000)
    with pytest.raises(ValueError, match=r"the weights take [0-9,]+ bytes, but an ONNX file holds at most 1,000"):
        to_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx(model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"not installed: pip install 'seqkit-packed\[onnx\]'"):
        to_onnx(model, tmp_path / "m.onnx")
    with pytest.raises(ImportError, match="not installed"):
        to_proto(Graph(), {})
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_replaced(model, tmp_path):
    with pytest.raises(OSError, match="it is a folder"):
        to_onnx(model, tmp_path)
