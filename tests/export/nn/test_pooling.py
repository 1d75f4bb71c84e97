import numpy as np
import pytest
import torch

from seqkit import packed
from seqkit.export.graph import Encoded, layers, pools
from seqkit.export.nn.pooling import attention_weights
from seqkit.nn import GRU, LSTM, AttentionPool, LastPool, MaxPool, MeanPool, Stack, Upsample
from tests.export.cases import TOLERANCE, packed_and_feeds, run, steps_session

LENGTHS = [2, 1, 30, 2, 5]
ENCODERS = {
    "one direction": lambda: GRU(4, 6),
    "two directions, two layers": lambda: LSTM(4, 6, num_layers=2, bidirectional=True),
    "projected": lambda: LSTM(4, 6, proj_size=5, bidirectional=True),
}


@pytest.mark.parametrize("pool", [LastPool, MeanPool, MaxPool, AttentionPool])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_equals_the_module(pool, encoder):
    encoder = ENCODERS[encoder]().eval()
    module = pool(encoder.output_size)
    sequences, feeds = packed_and_feeds(LENGTHS, 4)
    session = steps_session(
        lambda graph, steps: {"pooled": pools.build(graph, module, layers.build(graph, encoder, steps))}, 4
    )
    with torch.no_grad():
        expected = module(*encoder(sequences))
    np.testing.assert_allclose(run(session, feeds)["pooled"], expected, **TOLERANCE)


@pytest.mark.parametrize("pool", [MeanPool, MaxPool, AttentionPool])
def test_what_is_behind_the_ends_does_not_count(pool):
    module = pool(4)
    sequences, feeds = packed_and_feeds(LENGTHS, 4)
    session = steps_session(lambda graph, steps: {"pooled": pools.build(graph, module, Encoded(steps))}, 4)
    with torch.no_grad():
        np.testing.assert_allclose(run(session, feeds)["pooled"], module(sequences), **TOLERANCE)


def test_attention_weights():
    module = AttentionPool(4, hidden_size=3)
    sequences, feeds = packed_and_feeds(LENGTHS, 4)
    session = steps_session(lambda graph, steps: {"weights": attention_weights(graph, module, steps)}, 4)
    with torch.no_grad():
        expected = packed.to_padded(module.weights(sequences), total_length=31)
    np.testing.assert_allclose(run(session, feeds)["weights"], expected, **TOLERANCE)


def test_last_pool_without_a_state():
    encoder = Stack(4, [lambda size: Upsample(size)])
    with pytest.raises(ValueError, match="LastPool needs an encoder with a final state; use MeanPool"):
        steps_session(
            lambda graph, steps: {"pooled": pools.build(graph, LastPool(4), layers.build(graph, encoder, steps))}, 4
        )


def test_the_state_of_a_stack_is_that_of_its_last_recurrent_layer():
    encoder = Stack(4, [lambda size: GRU(size, 3), lambda size: GRU(size, 5), lambda size: Upsample(size)]).eval()
    module = LastPool(5)
    sequences, feeds = packed_and_feeds(LENGTHS, 4)
    session = steps_session(
        lambda graph, steps: {"pooled": pools.build(graph, module, layers.build(graph, encoder, steps))}, 4
    )
    with torch.no_grad():
        np.testing.assert_allclose(run(session, feeds)["pooled"], module(*encoder(sequences)), **TOLERANCE)
