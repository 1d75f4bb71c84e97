import numpy as np
import pytest
import torch

from seqkit.export import Graph
from seqkit.export.nn.softmax import softmaxes
from seqkit.export.onnx_model import to_proto
from seqkit.nn import AdaptiveSoftmax, Softmax
from tests.export.cases import session_of


@pytest.mark.parametrize(
    "module",
    [
        lambda: Softmax(8, 5),
        lambda: AdaptiveSoftmax(8, 12, [4, 9], div_value=2.0),
        lambda: AdaptiveSoftmax(8, 7, [1], div_value=2.0),
    ],
    ids=["softmax", "two clusters", "no frequent class but the boundary"],
)
def test_log_probabilities(module):
    module = module()
    graph = Graph()
    values = graph.input("values", np.float32, ["batch", "time", 8])
    graph.output(softmaxes.build(graph, module, values), "log_probs", np.float32, ["batch", "time", None])
    proto = to_proto(graph, {})
    session = session_of(proto.SerializeToString())
    features = torch.randn(2, 3, 8)
    (found,) = session.run(None, {"values": features.numpy()})
    expected = module.log_probs(features.flatten(0, 1)).view(2, 3, -1)
    np.testing.assert_allclose(found, expected.detach(), atol=1e-5)
