import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

from seqkit.nn import AttentionPool, LastPool, MaxPool, MeanPool
from seqkit.nn.pooling import Pool
from seqkit.packed import pack

POOLS = [LastPool, MeanPool, MaxPool, AttentionPool]
ENCODERS = {
    "lstm": nn.LSTM(3, 4),
    "stacked bidirectional lstm": nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "bidirectional lstm with projections": nn.LSTM(3, 4, proj_size=2, bidirectional=True),
    "stacked gru": nn.GRU(3, 4, num_layers=2),
    "bidirectional gru": nn.GRU(3, 4, bidirectional=True),
}
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=20)


def encode(encoder: nn.Module, rows: list[Tensor]) -> tuple[PackedSequence, Tensor | tuple[Tensor, Tensor]]:
    hidden, state = encoder(pack(rows))
    return hidden, state


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("name", ENCODERS)
@settings(max_examples=15)  # for each pool and encoder
@given(sizes=lengths)
def test_values_equal_those_of_each_sequence_alone(kind: type[Pool], name: str, sizes: list[int]) -> None:
    encoder, rows = ENCODERS[name], [torch.randn(size, 3) for size in sizes]
    with torch.no_grad():
        hidden, state = encode(encoder, rows)
        pool = kind(hidden.data.shape[-1])
        together = pool(hidden, state)
        alone = torch.cat([pool(*encode(encoder, [row])) for row in rows])
    assert pool.output_size == pool.input_size == together.shape[1]
    assert_close(together, alone)


@pytest.mark.parametrize("name", ENCODERS)
def test_last_pool_concatenates_both_directions(name: str) -> None:
    encoder, row = ENCODERS[name], torch.randn(6, 3)
    output, state = encode(encoder, [row])
    forward = output.data.shape[1] // (2 if encoder.bidirectional else 1)
    wanted = torch.cat([output.data[-1, :forward], output.data[0, forward:]])
    assert_close(LastPool(output.data.shape[1])(output, state), wanted[None])


def test_simple_pools_need_no_state() -> None:
    rows = [torch.randn(2, 4), torch.randn(5, 4)]
    assert_close(MeanPool(4)(pack(rows)), torch.stack([row.mean(0) for row in rows]))
    assert_close(MaxPool(4)(pack(rows)), torch.stack([row.amax(0) for row in rows]))


def test_attention_pool_has_hidden_units() -> None:
    for size in (0, -2):
        with pytest.raises(ValueError, match=rf"AttentionPool: hidden_size is {size}; give at least 1"):
            AttentionPool(3, hidden_size=size)


def test_attention_pool_weights_equal_the_formula() -> None:
    rows = [torch.randn(2, 4), torch.randn(5, 4)]
    pool = AttentionPool(4, hidden_size=6)
    assert pool.hidden.out_features == 6

    def plain(row: Tensor) -> Tensor:
        scores = torch.tanh(row @ pool.hidden.weight.T + pool.hidden.bias) @ pool.score.weight[0]
        return scores.softmax(0) @ row

    assert_close(pool(pack(rows)), torch.stack([plain(row) for row in rows]))


@pytest.mark.parametrize("kind", POOLS)
def test_gradients_reach_the_encoder(kind: type[Pool]) -> None:
    encoder = nn.LSTM(3, 4, bidirectional=True)
    pool = kind(8)
    pool(*encode(encoder, [torch.randn(2, 3), torch.randn(5, 3)])).square().sum().backward()
    for parameter in [*encoder.parameters(), *pool.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (None, "LastPool: the encoder returned no final state; use MeanPool, MaxPool or AttentionPool"),
        (
            torch.zeros(1, 2, 3),
            "LastPool: input_size is 4, which is not a multiple of the 3 features of the final state; use "
            "MeanPool, MaxPool or AttentionPool",
        ),
        (
            torch.zeros(1, 2, 5),
            "LastPool: input_size is 4, which is not a multiple of the 5 features of the final state; use "
            "MeanPool, MaxPool or AttentionPool",
        ),
    ],
)
def test_last_pool_errors(state: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        LastPool(4)(pack(torch.zeros(5, 4), [3, 2]), state)
    assert str(raised.value) == message
