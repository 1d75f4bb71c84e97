"""Undocumented parts of torch."""

import ctypes
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau


class KeepDtype(nn.Module):
    """A module whose tensors, and those of its parts, keep their type; they only move between devices.

    Lightning's true half and double precision cast a whole model by ``Module.to(dtype)``, with all its metrics, and
    torch documents no way to exclude a part. Checked with torch 2.13.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], *options: Any, **named_options: Any) -> Self:
        def only_move(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            return changed if changed.dtype == tensor.dtype else tensor.to(changed.device)

        super()._apply(only_move, *options, **named_options)  # type: ignore[no-untyped-call]
        return self


def assert_async(condition: Tensor, message: str) -> None:
    """Raise an error unless a boolean of an accelerator is true, without waiting for it: CUDA reports it later.

    Torch documents no assertion of values on a device. Those without one are waited for. Checked with torch 2.13.

    Raises:
        RuntimeError: It is false.
    """
    try:
        torch._assert_async(condition, message)
    except NotImplementedError:
        if not bool(condition):
            raise RuntimeError(message) from None


def batched_backward(function: Callable[..., tuple[Tensor, ...]], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Call ``function(*tensors)`` in a backward, under `torch.vmap` if that backward is batched.

    ``torch.autograd.grad(is_grads_batched=True)`` and `torch.autograd.functional` batch by an older mechanism than
    `torch.vmap`, which does not know the batching rule of an autograd function. Checked with torch 2.13.
    """
    is_batched = [torch._C._functorch.is_legacy_batchedtensor(t) for t in tensors]
    if not any(is_batched):
        return function(*tensors)
    level = torch._C._vmapmode_increment_nesting() - 1  # there is no function that only returns it
    torch._C._vmapmode_decrement_nesting()
    plain = [torch._remove_batch_dim(t, level, 1, 0) if b else t for t, b in zip(tensors, is_batched, strict=True)]
    found = torch.vmap(function, in_dims=tuple(0 if b else None for b in is_batched))(*plain)
    return tuple(torch._add_batch_dim(f, 0, level) for f in found)


def change_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Replace the class of a module in place, which keeps its identity, parameters and hooks.

    Torch documents no way to change the forward of an existing module without replacing the object. Both classes
    must keep the same attributes. Checked with torch 2.13.
    """
    module.__class__ = cls


def forward_mode_active() -> bool:
    """Whether forward-mode differentiation is going on, of `torch.autograd.forward_ad` or `torch.func`.

    Torch documents no way to ask. Checked with torch 2.13.
    """
    level: int = torch.autograd.forward_ad._current_level
    return level >= 0


def layer_norm_backward(
    gradient: Tensor, values: Tensor, mean: Tensor, scale: Tensor, gain: Tensor
) -> tuple[Tensor, Tensor]:
    """Differentiate `layer_norm_with_statistics`: the gradients of the values (N, D) and of the gain (D,).

    Torch documents no backward of layer normalisation outside autograd. Checked with torch 2.13.
    """
    of_values, of_gain, _ = torch.ops.aten.native_layer_norm_backward(
        gradient, values, [len(gain)], mean, scale, gain, None, [True, True, False]
    )
    return of_values, of_gain


def layer_norm_with_statistics(
    values: Tensor, gain: Tensor, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Apply layer normalisation to (N, D); also returns the mean and the inverse standard deviation (N, 1).

    `torch.nn.functional.layer_norm` does not return the statistics, which `layer_norm_backward` needs. Checked with
    torch 2.13.
    """
    return torch.native_layer_norm(values, [len(gain)], gain, bias, epsilon)


def openmp_entry() -> int | None:
    """Return the address of ``GOMP_parallel`` in the OpenMP runtime that torch itself uses, or None.

    With it, compiled code runs on torch's own threads. They spin after each operation, so that other threads would
    compete with them. Torch has no C interface for this; the runtime is found among the libraries that torch was
    linked with. Only on Linux: elsewhere the runtimes are others. Checked with torch 2.13.
    """
    if sys.platform != "linux":
        return None
    try:
        entry = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (OSError, AttributeError):
        return None
    return ctypes.cast(entry, ctypes.c_void_p).value


def outside_transforms() -> AbstractContextManager[None]:
    """Switch the transforms of `torch.func` off: a tensor that is kept must not belong to one of them.

    Torch documents no way to leave them. Checked with torch 2.13.
    """
    guard: AbstractContextManager[None] = torch._C._DisableFuncTorch()
    return guard


def relu_backward(gradient: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """Compute 0 where ``value``, a ReLU, is 0, and ``gradient`` elsewhere, also where it is NaN.

    Torch documents no backward of a nonlinearity outside autograd. Checked with torch 2.13.
    """
    torch.ops.aten.threshold_backward.grad_input(gradient, value, 0, grad_input=out)
    return out


def set_plateau_mode(scheduler: ReduceLROnPlateau, mode: str) -> None:
    """Set whether a scheduler that has not made a step yet looks for a minimum (``min``) or a maximum (``max``).

    Torch takes the mode in the constructor only; the state dict contains it and the best value so far. Checked
    with torch 2.13.
    """
    scheduler.load_state_dict({"mode": mode, "best": math.inf if mode == "min" else -math.inf})


def sigmoid_backward(gradient: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """Compute ``gradient * value * (1 - value)`` in one pass, where ``value`` is a sigmoid.

    Torch documents no backward of a nonlinearity outside autograd. Checked with torch 2.13.
    """
    torch.ops.aten.sigmoid_backward.grad_input(gradient, value, grad_input=out)
    return out


def stock_forward(module: nn.RNNBase, input: Any, hx: Any) -> Any:
    """Run the forward of `torch.nn.LSTM`, `GRU` or `RNN` on a module that is no instance of it.

    This reaches cuDNN, which no documented function does. `seqkit.nn.LSTM` cannot inherit from `torch.nn.LSTM`, as
    `torch.compile` does not trace subclasses of that. The module must have ``check_forward_args`` and
    ``permute_hidden`` for its kind of state. Checked with torch 2.13.
    """
    stock: Any = {"LSTM": nn.LSTM, "GRU": nn.GRU}.get(module.mode, nn.RNN)
    return stock.forward(module, input, hx)


def tanh_backward(gradient: Tensor, value: Tensor, out: Tensor) -> Tensor:
    """Compute ``gradient * (1 - value²)`` in one pass, where ``value`` is a tanh.

    Torch documents no backward of a nonlinearity outside autograd. Checked with torch 2.13.
    """
    torch.ops.aten.tanh_backward.grad_input(gradient, value, grad_input=out)
    return out


def transforms_active(*tensors: Tensor) -> bool:
    """Whether a transform of `torch.func` is going on, or one of the tensors is of a transform or batched backward.

    The function of `torch.func.vjp` runs a backward when the transform is over. Torch documents no way to ask.
    Checked with torch 2.13.
    """
    if torch._C._are_functorch_transforms_active():
        return True
    functorch = torch._C._functorch
    for t in tensors:  # noqa: SIM110 -- a generator takes twice the time, and every backward asks
        if functorch.is_functorch_wrapped_tensor(t) or functorch.is_legacy_batchedtensor(t):
            return True
    return False


def without_transforms(tensor: Tensor) -> Tensor:
    """Return the tensor that a transform of `torch.func` follows.

    In a transformed function every new tensor belongs to the transform, also one that is no function of its inputs.
    Torch documents no way to get its memory. Checked with torch 2.13.

    Raises:
        ValueError: `torch.vmap` gives each copy a tensor of its own.
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            raise ValueError("torch.vmap over batch sizes; all copies must share one layout of their sequences")
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def without_version_count(tensor: Tensor) -> Tensor:
    """Return the same memory as a tensor whose in-place changes autograd does not notice.

    Autograd refuses to give out a saved tensor again after a change in place. A backward that overwrites its saved
    tensors, and knows how to compute them again, needs this to save memory. Checked with torch 2.13.
    """
    return tensor.data
