import ctypes
import math
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.optim.lr_scheduler import ReduceLROnPlateau

import seqkit.nn
from seqkit.upstream.torch import (
    KeepDtype,
    assert_async,
    batched_backward,
    change_class,
    forward_mode_active,
    layer_norm_backward,
    layer_norm_with_statistics,
    openmp_entry,
    outside_transforms,
    relu_backward,
    set_plateau_mode,
    sigmoid_backward,
    stock_forward,
    tanh_backward,
    transforms_active,
    without_transforms,
    without_version_count,
)

CHANGED = f"torch {torch.__version__} differs from 2.13: adapt seqkit.upstream.torch.{{}}"


def test_keep_dtype():
    class Kept(KeepDtype, nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("number", torch.ones(1))
            self.register_buffer("count", torch.ones(1, dtype=torch.long))
            self.part = nn.Linear(1, 1)

    changed = CHANGED.format("KeepDtype (Module.to does not call _apply of its parts)")
    for cast in (lambda m: m.to(torch.bfloat16), nn.Module.half, nn.Module.double, lambda m: m.type(torch.float16)):
        model = nn.Sequential(nn.Linear(1, 1), Kept())
        cast(model)
        assert model[0].weight.dtype != torch.float32
        assert {t.dtype for t in model[1].state_dict().values()} == {torch.float32, torch.long}, changed
    moved = model.to("meta", torch.float64)[1]
    assert {(t.device.type, t.dtype) for t in moved.part.parameters()} == {("meta", torch.float32)}, changed


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_change_class(name):
    stock, ours = getattr(nn, name), getattr(seqkit.nn, name)
    module, made = stock(3, 4), ours(3, 4)
    attributes = CHANGED.format(f"change_class (torch.nn.{name} and seqkit.nn.{name} have different attributes)")
    assert vars(module).keys() == {key for key in vars(made) if not hasattr(ours, key)}, attributes
    change_class(module, ours)
    assert type(module) is ours, CHANGED.format("change_class (modules refuse another class)")


@pytest.mark.parametrize(("mode", "values"), [("min", (0.9, 0.5)), ("max", (0.5, 0.9))])
def test_set_plateau_mode(mode, values):
    scheduler = ReduceLROnPlateau(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), patience=0)
    set_plateau_mode(scheduler, mode)
    expected = ReduceLROnPlateau(scheduler.optimizer, mode, patience=0).state_dict()
    assert scheduler.state_dict() == expected, CHANGED.format("set_plateau_mode (the state dict has other keys)")
    for value in values:
        scheduler.step(value)
    assert scheduler.best == values[-1], CHANGED.format("set_plateau_mode (load_state_dict ignores the mode)")
    scheduler.step(math.inf if mode == "min" else -math.inf)
    assert scheduler.optimizer.param_groups[0]["lr"] == 0.1, CHANGED.format("set_plateau_mode")


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("values", [torch.randn(4, 2, 3), torch.randn(4, 3), pack_sequence([torch.randn(4, 3)])])
def test_stock_forward(name, values):
    torch.manual_seed(0)
    stock = getattr(nn, name)(3, 5, num_layers=2, bidirectional=True)
    ours = getattr(seqkit.nn, name)(3, 5, num_layers=2, bidirectional=True)
    ours.load_state_dict(stock.state_dict())
    output, state = stock(values)
    found, found_state = stock_forward(ours, values, None)
    changed = CHANGED.format("stock_forward (torch's forward needs other methods of the module)")
    assert torch.equal(found[0], output[0]), changed
    stock_forward(ours, values, state)  # permutes and checks the given state, too
    assert all(map(torch.equal, found_state, state)), changed


def test_layer_norm():
    values, gain, bias = (torch.randn(*shape, dtype=torch.float64) for shape in ((5, 3), (3,), (3,)))
    found, mean, scale = layer_norm_with_statistics(values, gain, bias, 1e-5)
    changed = CHANGED.format("layer_norm_with_statistics")
    torch.testing.assert_close(found, nn.functional.layer_norm(values, (3,), gain, bias), msg=changed)
    torch.testing.assert_close(mean, values.mean(1, keepdim=True), msg=changed)
    torch.testing.assert_close(scale, (values.var(1, correction=0, keepdim=True) + 1e-5).rsqrt(), msg=changed)
    leaves, gradient = [values.requires_grad_(), gain.requires_grad_()], torch.randn(5, 3, dtype=torch.float64)
    expected = torch.autograd.grad(nn.functional.layer_norm(values, (3,), gain, bias), leaves, gradient)
    back = layer_norm_backward(gradient, values.detach(), mean, scale, gain.detach())
    torch.testing.assert_close(back, expected, msg=CHANGED.format("layer_norm_backward"))


@pytest.mark.parametrize(
    ("function", "backward"),
    [(torch.sigmoid, sigmoid_backward), (torch.tanh, tanh_backward), (torch.relu, relu_backward)],
)
def test_backward_of_a_nonlinearity(function, backward):
    values, gradient = torch.tensor([-1.0, 0.0, 2.0, math.nan], requires_grad=True), torch.randn(4)
    out = torch.empty(4)
    assert backward(gradient, function(values).detach(), out=out) is out
    (expected,) = torch.autograd.grad(function(values), values, gradient)
    torch.testing.assert_close(out, expected, equal_nan=True, msg=CHANGED.format(backward.__name__))


def test_without_version_count():
    class Overwrites(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            ctx.save_for_backward(values.clone())
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            (saved,) = ctx.saved_tensors
            without_version_count(saved).fill_(7)
            return gradient * saved

    values = torch.ones(2, requires_grad=True)
    total = Overwrites.apply(values).sum()
    message = CHANGED.format("without_version_count (autograd notices the change, or the memory is not shared)")
    for _ in range(2):
        (gradient,) = torch.autograd.grad(total, values, retain_graph=True)
        assert gradient.tolist() == [7, 7], message


def test_assert_async():
    assert_async(torch.tensor(True), "fine")
    with pytest.raises(RuntimeError, match="not so"):
        assert_async(torch.tensor(False), "not so")


def test_forward_mode_active():
    changed = CHANGED.format("forward_mode_active")
    assert not forward_mode_active(), changed
    with torch.autograd.forward_ad.dual_level():
        assert forward_mode_active(), changed
    torch.func.vjp(lambda x: pytest.fail(changed) if forward_mode_active() else x, torch.ones(1))
    assert not forward_mode_active(), changed


def test_transforms_active():
    changed, seen = CHANGED.format("transforms_active"), []

    def function(x):
        assert transforms_active(), changed
        seen.append(x)
        return x.sum()

    torch.func.grad(function)(torch.ones(1))
    assert not transforms_active(torch.ones(1)), changed
    assert transforms_active(torch.ones(1), *seen), changed


def test_tensors_outside_of_transforms():
    kept = []

    def function(x):
        new = torch.tensor([1, 2])
        with outside_transforms():
            kept.append(without_transforms(new) * 2)
        return x.sum()

    torch.func.grad(torch.func.grad(function))(torch.tensor(1.0))
    assert kept[0].numpy().tolist() == [2, 4], CHANGED.format("without_transforms")


def test_batched_backward():
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            def double(g):
                shapes.append(g.shape)
                return (2 * g,)

            return batched_backward(double, [gradient])[0]

    shapes, x = [], torch.ones(3, requires_grad=True)
    above = torch.arange(6.0).view(2, 3)
    (found,) = torch.autograd.grad(Twice.apply(x), x, above, is_grads_batched=True)
    assert torch.equal(found, 2 * above), CHANGED.format("batched_backward")
    assert shapes == [(3,)], CHANGED.format("batched_backward")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other OpenMP runtimes")
def test_openmp_entry():
    changed = CHANGED.format("openmp_entry (torch is not linked with a runtime that has GOMP_parallel)")
    address = openmp_entry()
    assert address is not None, changed
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    parallel = ctypes.CFUNCTYPE(None, function, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(address)
    calls = []
    parallel(function(lambda data: calls.append(data)), 7, 1, 0)
    assert calls == [7], changed
