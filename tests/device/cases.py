"""Run a function on the CPU and on the strict device, and compare values and gradients."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

from tests.device.strict import Wait, waits


def moved(value: Any) -> Any:
    """Move tensors, packs and modules, nested in lists, tuples and dicts, to the device; leaves stay leaves."""
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to("strict")
    if isinstance(value, PackedSequence):
        return PackedSequence(moved(value.data), value.batch_sizes, *map(moved, value[2:]))
    if isinstance(value, Tensor):
        return value.detach().to("strict").requires_grad_(value.requires_grad)
    if isinstance(value, dict):
        return {key: moved(each) for key, each in value.items()}
    return type(value)(map(moved, value)) if isinstance(value, list | tuple) else value


def tensors(value: Any) -> list[Tensor]:
    """List the tensors in a result."""
    if isinstance(value, PackedSequence):
        value = value.data
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for each in value for tensor in tensors(each)] if isinstance(value, list | tuple) else []


def assert_same_on_device(function: Callable[..., Any], *arguments: Any, rtol: float = 1e-4) -> list[Wait]:
    """Compare the results and all gradients of a call; return the waits of the call and its backward."""
    results = []
    for there in (False, True):
        own = moved(list(arguments)) if there else list(arguments)
        modules = [each for each in own if isinstance(each, nn.Module)]
        leaves = tensors([each for each in own if not isinstance(each, nn.Module)])
        leaves += [parameter for module in modules for parameter in module.parameters()]
        leaves = [leaf for leaf in leaves if leaf.requires_grad]
        torch.manual_seed(3)
        with waits() as recorded:
            found = tensors(function(*own))
            differentiable = [each for each in found if each.requires_grad]
            gradients = []
            if differentiable:
                total = sum((each * (i + 1)).sum() for i, each in enumerate(differentiable))
                gradients = list(torch.autograd.grad(total, leaves, allow_unused=True))
        results.append((found, gradients))
    for one, other in zip(*results, strict=True):
        for expected, value in zip(one, other, strict=True):
            assert (expected is None) == (value is None)
            if value is not None:
                assert_close(value.cpu(), expected, rtol=rtol, atol=1e-5, equal_nan=True)
    return recorded
