import pytest

from seqkit.export import to_onnx
from tests.examples.onnx_client.cases import CONFIGS, config_model, rows_of


@pytest.fixture(scope="module")
def client(load):
    return load("onnx_client")


@pytest.fixture(scope="module")
def tagger(client, tmp_path_factory):
    """The file of a tagger of words and their characters."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    to_onnx(config_model("ewt_upos", rows_of(CONFIGS["ewt_upos"])), path)
    return path
