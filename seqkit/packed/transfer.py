"""Copies between the CPU and an accelerator for which the host waits as little as possible."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

_WITHOUT_PINNED = ("cpu", "meta", "mps")


def pins_memory() -> bool:
    """Whether this machine has an accelerator that copies faster, and without a wait, from pinned memory."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator is not None and accelerator.type not in _WITHOUT_PINNED


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Move a tensor from the CPU without waiting: only a copy from pinned memory is asynchronous."""
    if device.type in _WITHOUT_PINNED or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def to_host(values: Sequence[PackedSequence | Tensor]) -> list[Any]:
    """Move packs and tensors to the CPU, without gradient, all of them in one copy: the host waits once.

    Args:
        values: On the CPU or on one other device.
    """
    copies: Iterator[Any] = iter(_copied([tensor for each in values for tensor in _tensors(each)]))
    return [
        next(copies)
        if isinstance(each, Tensor)
        else each._replace(data=next(copies), sorted_indices=next(copies), unsorted_indices=next(copies))
        for each in values
    ]


def _tensors(values: PackedSequence | Tensor) -> tuple[Tensor | None, ...]:
    if isinstance(values, Tensor):
        return (values,)
    return values.data, values.sorted_indices, values.unsorted_indices


def _copied(tensors: list[Tensor | None]) -> list[Tensor | None]:
    copies = [None if tensor is None else tensor.detach() for tensor in tensors]
    moved = [(i, tensor) for i, tensor in enumerate(copies) if tensor is not None and tensor.device.type != "cpu"]
    if not moved:
        return copies
    # Large elements first: each tensor then begins at a multiple of the size of its elements.
    moved.sort(key=lambda pair: -pair[1].element_size())
    memory = torch.cat([tensor.reshape(-1).view(torch.uint8) for _, tensor in moved]).cpu()
    pieces = torch.split(memory, [tensor.numel() * tensor.element_size() for _, tensor in moved])
    for (i, tensor), piece in zip(moved, pieces, strict=True):
        copies[i] = piece.view(tensor.dtype).view(tensor.shape)
    return copies
