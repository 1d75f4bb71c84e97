import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqkit import packed
from seqkit.nn import GRU, LSTM, Downsample, LastPool, Stack, Upsample

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6) | st.just([1]) | st.just([40, 1, 1])
factors = st.integers(1, 4)


def alone(module, sequence):
    """Downsample one sequence by a loop over its steps."""
    k = module.factor
    if isinstance(module, Upsample):
        steps = []
        for token in sequence:
            maps = [token] * k if module.linear is None else list(module.linear(token).view(k, -1))
            steps += maps
        return torch.stack(steps)
    steps = []
    for start in range(0, len(sequence), k):
        window = sequence[start : start + k]
        if module.mode == "concat":
            missing = sequence.new_zeros(k - len(window), sequence.shape[1])
            steps.append(torch.cat([window, missing]).flatten())
        else:
            steps.append(window.mean(0) if module.mode == "mean" else window.amax(0))
    return torch.stack(steps)


def check(module, counts, enforce_sorted=False):
    torch.manual_seed(0)
    # Few values, so that maxima are tied.
    sequences = [torch.randint(0, 3, (n, 2)).double().requires_grad_() for n in counts]
    weights = [torch.randn(alone(module, s).shape, dtype=torch.double) for s in sequences]
    together = module(packed.pack(sequences))
    expected = [alone(module, s) for s in sequences]
    parameters = [*sequences, *module.parameters()]
    for mine, theirs in zip(packed.unpack(together), expected, strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.shape[1] == module.output_size

    def gradients(outputs):
        total = sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True))
        return torch.autograd.grad(total, parameters)

    for mine, theirs in zip(gradients(packed.unpack(together)), gradients(expected), strict=True):
        torch.testing.assert_close(mine, theirs)
    return together


@given(lengths, factors, st.sampled_from(["concat", "mean", "max"]))
def test_downsampling_equals_that_of_each_sequence_alone(counts, factor, mode):
    together = check(Downsample(2, factor, mode), counts)
    assert packed.lengths(together).tolist() == [math.ceil(n / factor) for n in counts]


@given(lengths, factors, st.sampled_from([None, 3]))
def test_upsampling_equals_that_of_each_sequence_alone(counts, factor, size):
    together = check(Upsample(2, factor, size).double(), counts)
    assert packed.lengths(together).tolist() == [n * factor for n in counts]


def test_empty_input():
    none = packed.pack(torch.empty(0, 2), [])
    for module, width in ((Downsample(2), 4), (Upsample(2), 2), (Upsample(2, output_size=5), 5)):
        assert module(none).data.shape == (0, width)


def test_stack_gives_each_layer_the_output_size_of_the_previous_one():
    from functools import partial

    stack = Stack(
        3,
        [
            partial(LSTM, hidden_size=4, bidirectional=True),
            Downsample,
            partial(GRU, hidden_size=5),
            partial(Upsample, output_size=6),
        ],
    )
    assert [layer.input_size for layer in stack.layers] == [3, 8, 16, 5]
    values = packed.pack([torch.randn(n, 3) for n in (5, 2)])
    hidden, state = stack(values)
    assert (stack.output_size, hidden.data.shape) == (6, (2 * (3 + 1), 6))
    assert LastPool(5)(hidden, state).shape == (2, 5)  # the state of the last layer that has one


def test_stack_applies_dropout_between_layers_only():
    stack = Stack(2, [Upsample, Upsample], dropout=0.5)
    ones = packed.pack([torch.ones(50, 2)])
    first = stack.layers[0](ones).data
    assert set(stack(ones)[0].data.unique().tolist()) == {0.0, 2.0}
    assert (stack.eval()(ones)[0].data == first.repeat_interleave(2, 0)).all()
    assert (Stack(2, [Upsample], dropout=0.5)(ones)[0].data == 1).all()


def test_wrong_arguments_raise_an_error():
    with pytest.raises(ValueError, match="Downsample: factor is 0; give 1 or more"):
        Downsample(2, 0)
    with pytest.raises(ValueError, match="Upsample: factor is -1; give 1 or more"):
        Upsample(2, -1)
    with pytest.raises(ValueError, match="Stack: layers is empty; give at least one"):
        Stack(2, [])
    with pytest.raises(ValueError, match="Stack: layer Linear has no `output_size`"):
        Stack(2, [lambda size: nn.Linear(size, 2)])
