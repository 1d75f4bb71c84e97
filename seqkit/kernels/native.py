"""The sweeps over the steps in compiled code, for float32 on a CPU; `native.cpp` has them.

The library is built when the package is installed, if there is a compiler (`setup.py`), once for each vector width.
It holds plain C functions on raw pointers and serves every version of torch.
"""

import ctypes
import functools
import logging
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

from seqkit.kernels.layout import GATES, PLAIN, Extras, Gradients, Mode, Steps, Weights

log = logging.getLogger(__name__)

VARIANTS = {"AVX512": ("avx512", "avx2", "plain"), "AVX2": ("avx2", "plain")}


@functools.cache
def compiled() -> ctypes.CDLL | None:
    """The widest variant that was built and that this machine runs, or None; logs once which."""
    folder = Path(__file__).parent
    for variant in VARIANTS.get(torch.backends.cpu.get_cpu_capability(), ("plain",)):
        for suffix in EXTENSION_SUFFIXES:
            path = folder / f"_native_{variant}{suffix}"
            if path.exists():
                try:
                    found = ctypes.CDLL(str(path))
                except OSError:  # built against a runtime that is no longer there
                    continue
                log.info("Recurrent layers run by compiled code (%s).", variant)
                return found
    log.info(
        "No compiled code for recurrent layers; they run in plain torch operations. Reinstall with a C++ compiler."
    )
    return None


def forward(
    mode: Mode,
    gates: Tensor,
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,  # noqa: ARG001 -- `choose` lets none through
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Runs all steps; see `seqkit.kernels.closed_form.forward`."""
    directions, _, units = state[0].shape
    state = [s.contiguous() for s in state]
    output = gates.new_empty(steps.tokens, directions * units)
    cells = gates.new_empty(directions, steps.tokens, units) if mode == "LSTM" else None
    final = tuple(s.clone() for s in state)
    _call("forward", mode, steps, state[0], weights, [gates, *_pair(state), output, cells, *_pair(final)])
    return output, final, ((gates,) if cells is None else (gates, cells))


def backward(
    mode: Mode,
    gradient: Tensor,
    final_gradients: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,  # noqa: ARG001 -- `choose` lets none through
) -> Gradients:
    """Runs all steps backwards; see `seqkit.kernels.closed_form.backward`."""
    directions, _, units = state[0].shape
    state = [s.contiguous() for s in state]
    slots = torch.empty_like(saved[0])
    before = output.new_empty(directions, steps.tokens, units)
    final_gradients = [g.contiguous() for g in final_gradients]
    initial = tuple(g.clone() for g in final_gradients)
    arguments = [
        *_pair(saved),
        output,
        *_pair(state),
        gradient.contiguous(),
        *_pair(final_gradients),
        slots,
        before,
    ]
    _call("backward", mode, steps, state[0], weights, [*arguments, *_pair(initial)])
    return Gradients(slots, before, initial)


def _pair(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Of an LSTM both tensors, of the others the first and nothing."""
    return [tensors[0], tensors[1] if len(tensors) == 2 else None]


def _call(
    name: str,
    mode: Mode,
    steps: Steps,
    state: Tensor,
    weights: Sequence[Weights],
    tensors: Sequence[Tensor | None],
) -> None:
    directions, batch, units = state.shape
    hidden = [w.hidden.contiguous() for w in weights]
    sizes = [len(steps.sizes), batch, units, directions]
    pointers = [None if t is None else t.data_ptr() for t in [*_pair(hidden), *tensors]]
    getattr(compiled(), f"seqkit_{name}")(
        ctypes.c_int(list(GATES).index(mode)),
        *map(ctypes.c_int64, sizes),
        ctypes.c_void_p(steps.batch_sizes.data_ptr()),
        ctypes.c_int(torch.get_num_threads()),
        *map(ctypes.c_void_p, pointers),
    )
