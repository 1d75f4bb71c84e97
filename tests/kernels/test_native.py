import multiprocessing

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from seqkit import kernels
from seqkit.kernels import native
from seqkit.kernels.cells import GATES, STATES, Layer
from seqkit.packed import PackedLayout

from .test_layer import assert_same, problem
from .test_layer import run as layer_run

needs_library = pytest.mark.skipif(kernels.load_library("sweeps") is None, reason="built without a compiler")


def run(lengths, threads=1, units=20):
    """Output and gradients of a bidirectional LSTM on a number of threads."""
    generator = torch.Generator().manual_seed(0)
    rows = 4 * units
    layout = PackedLayout(pack_sequence([torch.zeros(n) for n in lengths]).batch_sizes)
    data = torch.randn(sum(lengths), 3, generator=generator).requires_grad_()
    state = [torch.zeros(2, len(lengths), units)] * 2
    weights = [torch.randn(rows, n, generator=generator).mul_(0.2).requires_grad_() for n in (3, units) * 2]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        output, _ = kernels.layer("LSTM", data, layout, state, weights, backend="native")
        return [output.detach(), *torch.autograd.grad(output.sum(), [data, *weights])]
    finally:
        torch.set_num_threads(before)


@needs_library
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_same_bits_on_any_number_of_threads(mode):
    layout = PackedLayout(torch.tensor([17, 12, 9, 9, 5, 4, 3, 1, 1, 1, 1, 1]))
    rows = GATES[mode] * 20
    data = torch.randn(layout.num_tokens, 7)
    state = [torch.randn(2, 17, 20)] * STATES[mode]
    weights = [torch.randn(rows, 7), torch.randn(rows, 20) * 0.2, *torch.randn(2, rows)] * 2
    layer = Layer(mode, layout, state, weights)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            output, final, saved = native.forward(layer, data, keep=True)
            back = native.backward(layer, output, saved, [output, *final])
            found.append([output, *final, back.slots, back.before, *back.initial])
            without = native.forward(layer, data, keep=False)
            assert torch.equal(output, without[0])
            assert without[2] == ()
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@needs_library
@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_RELU"])
@pytest.mark.parametrize("threads", [1, 3])
def test_sequences_of_many_lengths_in_wide_layers(mode, threads):
    # The library projects the inputs of a few tokens of each lane at a time; lanes end in between.
    generator = torch.Generator().manual_seed(1)
    lengths = sorted(torch.randint(1, 30, (50,), generator=generator).tolist(), reverse=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, expected = (
            layer_run(mode, backend, *problem(mode, lengths, 161, size=33, dtype=dtype))
            for backend, dtype in [("native", torch.float32), ("closed_form", torch.float64)]
        )
    finally:
        torch.set_num_threads(before)
    assert_same(found, expected, 2e-5)


@needs_library
def test_ten_thousand_sequences():
    lengths = [40] + [2] * 4999 + [1] * 5000
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found, expected = (
            layer_run("LSTM", backend, *problem("LSTM", lengths, 4, size=3, dtype=dtype))
            for backend, dtype in [("native", torch.float32), ("closed_form", torch.float64)]
        )
    finally:
        torch.set_num_threads(before)
    assert_same(found, expected, 2e-5)


def _child(connection):
    torch.set_num_threads(1)  # as in the workers of a DataLoader
    connection.send(float(run([5, 3, 1])[0].sum()))


@needs_library
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_a_worker(method):
    expected = float(run([5, 3, 1], threads=2)[0].sum())
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_child, args=(sender,), daemon=True)
    worker.start()
    assert receiver.poll(30)
    assert receiver.recv() == expected
    worker.join()


@needs_library
def test_other_dtypes_are_refused():
    layout = PackedLayout(torch.tensor([1]))
    state = [torch.zeros(1, 1, 2, dtype=torch.float64)]
    weights = [torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)]
    with pytest.raises(
        ValueError, match=r"'native' is for float32 on a CPU, not torch.float64 on cpu; leave it at None"
    ):
        kernels.layer("RNN_TANH", torch.zeros(1, 3), layout, state, weights, backend="native")
