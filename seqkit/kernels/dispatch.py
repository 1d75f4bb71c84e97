"""The choice of the implementation that runs a recurrent layer."""

from collections.abc import Mapping
from typing import Literal

import torch

from seqkit.kernels import closed_form, native
from seqkit.kernels.cells import Sweeps
from seqkit.kernels.compiled import load_library

Backend = Literal["native", "closed_form", "reference"]

SWEEPS: Mapping[Backend, Sweeps] = {"native": native, "closed_form": closed_form}


def available() -> tuple[Backend, ...]:
    """List the backends that this machine has, fastest first."""
    everywhere: tuple[Backend, ...] = ("closed_form", "reference")
    return everywhere if load_library("sweeps") is None else ("native", *everywhere)


def choose(
    device: torch.device, dtype: torch.dtype, *, projected: bool = False, forced: Backend | None = None
) -> Backend:
    """Choose the fastest backend for a layer with weights of this device and dtype, or check the forced one.

    Args:
        device: Of the weights.
        dtype: Of the weights.
        projected: Whether the layer has a projection.
        forced: The backend to use.

    Raises:
        ValueError: The forced backend is unknown or does not support this layer.
    """
    native_can = device.type == "cpu" and dtype == torch.float32
    if forced is None:
        return "native" if native_can and not projected and "native" in available() else "closed_form"
    if forced not in available():
        raise ValueError(f"backend is {forced!r}; it is one of {available()}")
    if forced == "native" and projected:
        raise ValueError("backend 'native' does not support proj_size; leave it at None or set 'closed_form'")
    if forced == "native" and not native_can:
        raise ValueError(f"backend 'native' is for float32 on a CPU, not {dtype} on {device}; leave it at None")
    return forced
