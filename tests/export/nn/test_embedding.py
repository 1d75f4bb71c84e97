import numpy as np
import torch

from seqkit import packed
from seqkit.export.graph import layers
from seqkit.nn import Dropout, Embedding, LockedDropout, Projection, Stack
from tests.export.cases import TOLERANCE, packed_and_feeds, run, steps_session


def test_embedding_of_ids():
    module = Embedding(9, 4, dropout=0.5, word_dropout=0.5, unknown_id=0).eval()
    module.freeze(torch.arange(9) < 3)
    session = steps_session(
        lambda graph, steps: {"output": layers.build(graph, module, steps).hidden.values}, None, np.int64
    )
    ids = np.array([[3, 0, 8], [1, 0, 0]])
    found = run(session, {"values": ids, "lengths": np.array([3, 1])})["output"]
    np.testing.assert_allclose(found, module.weight[ids].detach(), **TOLERANCE)


def test_projection_and_dropouts():
    module = Stack(3, [lambda size: Projection(size, 5, dropout=0.5)]).eval()
    module.layers.extend([Dropout(0.5).eval(), LockedDropout(0.5).eval()])
    sequences, feeds = packed_and_feeds([2, 1, 4], 3)
    session = steps_session(lambda graph, steps: {"output": layers.build(graph, module, steps).hidden.values}, 3)
    with torch.no_grad():
        expected = packed.unpack(module(sequences)[0])
    for own, row in zip(run(session, feeds)["output"], expected, strict=True):
        np.testing.assert_allclose(own[: len(row)], row, **TOLERANCE)
