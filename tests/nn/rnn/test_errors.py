"""Wrong arguments raise the types of errors that torch's modules raise."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import seqkit.nn
from seqkit import packed

NAMES = ["LSTM", "GRU", "RNN"]


def padded(*shape, dtype=torch.float32):
    return torch.ones(shape, dtype=dtype)


def pack(features=3, dtype=torch.float32):
    return pack_sequence([torch.ones(n, features, dtype=dtype) for n in (3, 2)])


def sized(sizes, tokens=5, dtype=torch.int64):
    return PackedSequence(torch.ones(tokens, 3), torch.tensor(sizes, dtype=dtype))


def state(module, *shape, dtype=torch.float32):
    values = torch.zeros(shape, dtype=dtype)
    return (values, values) if module.mode == "LSTM" else values


def other(module):
    """A state of the other kind of module."""
    values = torch.zeros(1, 2, 4)
    return values if module.mode == "LSTM" else (values, values)


CONSTRUCTORS = {
    "projection of the hidden size": lambda cls: cls(3, 4, proj_size=4),
    "negative projection": lambda cls: cls(3, 4, proj_size=-1),
    "negative dropout": lambda cls: cls(3, 4, 2, dropout=-0.1),
    "dropout of 2": lambda cls: cls(3, 4, 2, dropout=2),
    "dropout is a string": lambda cls: cls(3, 4, 2, dropout="x"),
    "dropout is nan": lambda cls: cls(3, 4, 2, dropout=float("nan")),
    "no layers": lambda cls: cls(3, 4, 0),
    "no units": lambda cls: cls(3, 0),
    "fractional units": lambda cls: cls(3, 4.0),
    "negative units": lambda cls: cls(3, -4),
    "negative input size": lambda cls: cls(-3, 4),
    "no input size": lambda cls: cls(None, 4),
    "unknown keyword": lambda cls: cls(3, 4, foo=1),
    "one argument": lambda cls: cls(3),
    "integer weights": lambda cls: cls(3, 4, dtype=torch.int64),
    "unknown device": lambda cls: cls(3, 4, device="nope"),
    "nonlinearity": lambda cls: cls(3, 4, nonlinearity="sigmoid"),
}
CALLS = {
    "padded, wrong features": lambda m: m(padded(3, 2, 5)),
    "single, wrong features": lambda m: m(padded(3, 5)),
    "packed, wrong features": lambda m: m(pack(5)),
    "one dimension": lambda m: m(padded(3)),
    "four dimensions": lambda m: m(padded(1, 2, 3, 3)),
    "packed, three dimensions": lambda m: m(PackedSequence(padded(5, 1, 3), torch.tensor([3, 2]))),
    "double": lambda m: m(padded(3, 2, 3, dtype=torch.float64)),
    "integers": lambda m: m(padded(3, 2, 3, dtype=torch.int64)),
    "booleans": lambda m: m(padded(3, 2, 3, dtype=torch.bool)),
    "complex numbers": lambda m: m(padded(3, 2, 3, dtype=torch.complex64)),
    "state, wrong layers": lambda m: m(padded(3, 2, 3), state(m, 2, 2, 4)),
    "state, wrong sequences": lambda m: m(padded(3, 2, 3), state(m, 1, 3, 4)),
    "state, wrong units": lambda m: m(padded(3, 2, 3), state(m, 1, 2, 5)),
    "state, no batch": lambda m: m(padded(3, 2, 3), state(m, 1, 4)),
    "state, a batch": lambda m: m(padded(3, 3), state(m, 1, 1, 4)),
    "state, double": lambda m: m(padded(3, 2, 3), state(m, 1, 2, 4, dtype=torch.float64)),
    "packed, state of wrong sequences": lambda m: m(pack(), state(m, 1, 3, 4)),
    "packed, state of wrong units": lambda m: m(pack(), state(m, 1, 2, 5)),
    "packed, state is double": lambda m: m(pack(), state(m, 1, 2, 4, dtype=torch.float64)),
    "packed, another kind of state": lambda m: m(pack(), other(m)),
    "three states": lambda m: m(padded(3, 2, 3), (torch.zeros(1, 2, 4),) * 3),
    "rising batch sizes": lambda m: m(sized([2, 3])),
    "too large batch sizes": lambda m: m(sized([3, 3])),
    "short batch sizes of int32": lambda m: m(sized([3, 2], dtype=torch.int32)),
    "fractional batch sizes": lambda m: m(sized([3, 2], dtype=torch.float32)),
    "two-dimensional batch sizes": lambda m: m(sized([[3, 2]])),
    "a list": lambda m: m([[1.0, 2.0, 3.0]]),
    "nothing": lambda m: m(None),
    "an array": lambda m: m(padded(3, 2, 3).numpy()),
    "no arguments": lambda m: m(),
    "three arguments": lambda m: m(padded(3, 2, 3), None, None),
}


def error_of(function, argument):
    try:
        function(argument)
    except Exception as error:
        return error
    pytest.fail("no error")


@pytest.mark.filterwarnings("ignore:(dropout option|.*zero elements)")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CONSTRUCTORS)
def test_constructors(case, name):
    if case == "nonlinearity" and name != "RNN":
        return
    stock, ours = (error_of(CONSTRUCTORS[case], getattr(library, name)) for library in (nn, seqkit.nn))
    assert isinstance(ours, type(stock)), (ours, stock)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CALLS)
def test_calls(case, name):
    stock, ours = (error_of(CALLS[case], getattr(library, name)(3, 4)) for library in (nn, seqkit.nn))
    assert isinstance(ours, type(stock)), (ours, stock)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda m: m(pack(dtype=torch.float64)), ValueError, "input dtype (torch.float64) does not match weight"),
        (
            lambda m: m(padded(3, 2, 3), other(m)),
            TypeError,
            "LSTM: the state is no pair of tensors; give (h_0, c_0)",
        ),
        (lambda m: m(padded(3, 2, 3), (None, None)), TypeError, "LSTM: the state is no pair of tensors"),
        (
            lambda m: m(pack(), (torch.zeros(1, 2, 4),)),
            RuntimeError,
            "LSTM: the state has 1 tensors; give (h_0, c_0)",
        ),
        (lambda m: m(pack(), state(m, 1, 4)), RuntimeError, "Expected hidden[0] size (1, 2, 4), got [1, 4]"),
        (
            lambda m: m(pack(), state(m, 1, 2, 4, dtype=torch.float64)),
            RuntimeError,
            "LSTM: the state is torch.float64, but the weights are torch.float32; convert one of them",
        ),
        (lambda m: m(sized([2, 3])), RuntimeError, "batch sizes are [2, 3]; they must not rise or be negative"),
        (
            lambda m: m(sized([3, -1], 2)),
            RuntimeError,
            "batch sizes are [3, -1]; they must not rise or be negative",
        ),
        (lambda m: m(sized([3, 1])), RuntimeError, "batch sizes are of 4 tokens, but data has 5"),  # torch cuts
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        call(seqkit.nn.LSTM(3, 4))


def test_batch_sizes_that_data_of_another_length_uses_again():
    values = pack()
    packed.mean(values)
    with pytest.raises(RuntimeError, match="batch sizes are of 5 tokens, but data has 4"):
        packed.mean(values._replace(data=values.data[:4]))


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.* is deprecated:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
@pytest.mark.parametrize("name", NAMES)
def test_torch_jit_is_refused(name):
    model = nn.Sequential(getattr(seqkit.nn, name)(3, 4))
    with pytest.raises(RuntimeError, match=rf"torch.jit.script does not support seqkit.nn.{name}; use"):
        torch.jit.script(model)
    with pytest.raises(RuntimeError, match=r"torch\.jit\.trace would keep the lengths of this batch"):
        torch.jit.trace(model, padded(5, 2, 3))
    seqkit.nn.restore_recurrent(model)
    torch.testing.assert_close(torch.jit.trace(model, padded(5, 2, 3))(padded(4, 1, 3)), model(padded(4, 1, 3)))


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.* is deprecated:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
def test_torch_jit_trace_of_packed_data_is_refused():
    values = pack()
    with pytest.raises(RuntimeError, match=r"torch\.jit\.trace would keep the lengths"):
        torch.jit.trace(lambda data: packed.mean(values._replace(data=data)), values.data)
