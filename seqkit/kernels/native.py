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
    extras: Extras = PLAIN,
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Runs all steps; see `seqkit.kernels.closed_form.forward`."""
    directions, batch, units = state[0].shape
    state = [s.contiguous() for s in state]
    output = gates.new_empty(steps.tokens, directions * units)
    cells = gates.new_empty(directions, steps.tokens, units) if mode == "LSTM" else None
    final = tuple(s.clone() for s in state)
    normal: list[Tensor] = []
    if extras.hidden_gain is not None:
        normal = [gates.new_empty(directions, steps.tokens, n) for n in (extras.hidden_gain.size(1), 1)]
    arguments = [gates, *_pair(state), output, cells, *_pair(final)]
    _call("forward", mode, steps, state[0], weights, [*arguments, *_of_extras(extras, batch), *_pair(normal)])
    return output, final, (gates, *([] if cells is None else [cells]), *normal)


def backward(
    mode: Mode,
    gradient: Tensor,
    final_gradients: Sequence[Tensor],
    output: Tensor,
    saved: Sequence[Tensor],
    steps: Steps,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    extras: Extras = PLAIN,
) -> Gradients:
    """Runs all steps backwards and overwrites the gates; see `seqkit.kernels.closed_form.backward`."""
    directions, batch, units = state[0].shape
    tokens = steps.tokens
    state = [s.contiguous() for s in state]
    slots = saved[0]  # each token's gates are read once, and then give way to their gradient
    before = output.new_empty(directions, tokens, units)
    final_gradients = [g.contiguous() for g in final_gradients]
    initial = tuple(g.clone() for g in final_gradients)
    normal = [] if extras.hidden_gain is None else saved[-2:]
    products = None if extras.hidden_gain is None else torch.empty_like(saved[-2])
    cell_normal = [] if extras.cell_gain is None else [output.new_empty(2, directions, tokens, units).unbind()]
    arguments = [
        slots,
        saved[1] if mode == "LSTM" else None,
        output,
        *_pair(state),
        gradient.contiguous(),
        *_pair(final_gradients),
        slots,
        before,
        *_pair(initial),
        *_of_extras(extras, batch),
        *_pair(normal),
        products,
        *_pair([t for pair in cell_normal for t in pair]),
    ]
    _call("backward", mode, steps, state[0], weights, arguments)
    found = Gradients(slots, before, initial)
    if products is not None:
        of_gain = torch.einsum("dng,dng->dg", slots[:, :, : products.size(2)], normal[0])
        found = found._replace(products=products, hidden_gain=of_gain)
    for cell, of_cell in cell_normal:
        found = found._replace(cell_gain=(of_cell * cell).sum(1), cell_bias=of_cell.sum(1))
    return found


def _pair(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Two tensors, or one and nothing, or nothing twice."""
    return [*tensors, None, None][:2]


def _of_extras(extras: Extras, batch: int) -> list[Tensor | None]:
    """What the library reads of them; the gain of the input product is none of its business."""
    mask = None if extras.hidden_mask is None else extras.hidden_mask[:, :batch]
    found = [mask, extras.keep_hidden, extras.keep_cell, extras.hidden_gain, extras.cell_gain, extras.cell_bias]
    return [None if e is None else e.contiguous() for e in found]


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
