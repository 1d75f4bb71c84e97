from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkit import packed
from seqkit.nn import GRU, LSTM, Projection, Stack
from seqkit.tasks.stream.steps import advance, merge_rows, select_rows
from tests.tasks.stream.cases import ENCODERS, Learned


@pytest.mark.parametrize("kind", [*ENCODERS, "learned"])
@given(cuts=st.lists(st.integers(1, 3), min_size=1, max_size=4))
@settings(max_examples=8)
@torch.no_grad()
def test_steps_from_a_state_are_those_of_the_whole(kind, cuts):
    torch.manual_seed(0)
    encoder = (Learned if kind == "learned" else ENCODERS[kind])(3).eval()
    values = torch.randn(2, sum(cuts), 3)
    wanted, final = encoder(packed.pack(list(values), enforce_sorted=True))
    state, outputs = None, []
    for piece in values.split(cuts, 1):
        hidden, last, state = advance(encoder, packed.pack(list(piece), enforce_sorted=True), state)
        outputs.append(packed.to_padded(hidden))
    torch.testing.assert_close(torch.cat(outputs, 1), packed.to_padded(wanted), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(last, final, rtol=1e-6, atol=1e-6)


def test_states_of_some_rows():
    state = (torch.zeros(2, 4, 3), (), (torch.zeros(1, 4),))
    rows = torch.tensor([2, 0])
    new = (torch.ones(2, 2, 3) * torch.tensor([1.0, 2.0])[:, None], (), (torch.tensor([[1.0, 2.0]]),))
    merged = merge_rows(state, new, rows, 4)
    assert merged[2][0].tolist() == [[2.0, 0.0, 1.0, 0.0]]
    assert not state[0].any()
    selected = select_rows(merged, rows)
    assert torch.equal(selected[0], new[0])
    assert torch.equal(selected[2][0], new[2][0])
    first = merge_rows(None, new, rows, 4)
    assert torch.equal(first[0], merged[0])
    assert torch.equal(first[2][0], merged[2][0])


def test_the_state_of_a_stack_is_that_of_each_layer():
    layers = [partial(Projection, output_size=4), partial(LSTM, hidden_size=2), partial(GRU, hidden_size=5)]
    stack = Stack(3, layers)
    _, final, kept = advance(stack.eval(), packed.pack([torch.randn(4, 3)]), None)
    assert kept[0] == ()
    assert [part.shape for part in kept[1]] == [(1, 1, 2)] * 2
    assert torch.equal(kept[2], final)
