import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.export import Graph, Steps
from seqkit.export.graph import decoders
from seqkit.export.onnx_model import to_proto
from seqkit.labels import allowed_transitions
from seqkit.nn import CRF
from tests.export.cases import session_of

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def build(module, *, scores):
    graph = Graph(scores=scores)
    shape = ["batch", "time", module.num_tags]
    steps = Steps(graph.input("values", np.float32, shape), graph.input("lengths", np.int64, ["batch"]))
    tags, marginals = decoders.build(graph, module, steps)
    graph.output(tags, "tags", np.int64, shape[:2])
    if scores:
        graph.output(marginals, "marginals", np.float32, shape)
    return graph


def run(session, values, lengths, *names):
    return session.run(list(names), {"values": values, "lengths": np.array(lengths, dtype=np.int64)})


@pytest.fixture(scope="module", params=["free", "constrained"])
def exported(request):
    """A CRF and its graph."""
    module = CRF(len(TAGS))
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    if request.param == "constrained":
        module.restrict(allowed_transitions(TAGS, "BIO"))
    proto = to_proto(build(module, scores=True), {})
    return module, session_of(proto.SerializeToString())


def drawn(lengths, seed, scale=1.0, extra=0):
    """Scores of a padded batch, with large numbers behind the ends."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(len(lengths), max(lengths) + extra, len(TAGS))) * scale
    for row, length in zip(values, lengths, strict=True):
        row[length:] = 1e4
    return values.astype(np.float32)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seed=st.integers(0, 999),
    scale=st.sampled_from([0.0, 1.0, 1e3]),
    extra=st.integers(0, 2),
)
def test_tags_and_marginals_are_those_of_each_sequence_alone(exported, lengths, seed, scale, extra):
    module, session = exported
    values = drawn(lengths, seed, scale, extra)
    tags, marginals = run(session, values, lengths, "tags", "marginals")
    assert tags.shape == values.shape[:2]
    for row, length in enumerate(lengths):
        alone = packed.pack([torch.from_numpy(values[row, :length])])
        best = module.decode(alone).data.tolist()
        assert tags[row, :length].tolist() == best
        np.testing.assert_allclose(marginals[row, :length], module.marginals(alone).data, atol=1e-5)


def test_only_allowed_tags_are_found():
    module = CRF(len(TAGS)).restrict(allowed_transitions(TAGS, "BIO"))
    proto = to_proto(build(module, scores=True), {})
    session = session_of(proto.SerializeToString())
    values = np.zeros((1, 3, len(TAGS)), dtype=np.float32)
    values[:, :, TAGS.index("I-b")] = 5.0  # which no first tag may be
    tags, marginals = run(session, values, [3], "tags", "marginals")
    assert [TAGS[tag] for tag in tags[0]] == ["B-b", "I-b", "I-b"]
    assert marginals[0, 0, TAGS.index("I-b")] == 0
    np.testing.assert_allclose(marginals.sum(2), 1, rtol=1e-6)


def test_without_scores_there_is_one_sweep_forwards_and_one_backwards():
    operators = [node.operator for node in build(CRF(3), scores=False).nodes]
    assert operators.count("Scan") == 2
    assert "Softmax" not in operators
