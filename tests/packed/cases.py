"""Shared by the tests of seqkit.packed: random sequences, the functions with their plain loops, and a recorder."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from seqkit import packed

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
]


# Tokens (L, ...) -> (L, ...), and what the plain loop does with one sequence.
PER_TOKEN: dict[str, tuple[Callable[[PackedSequence], PackedSequence], Callable[[Tensor], Tensor]]] = {
    "apply": (lambda p: packed.apply(p, lambda x: x * x), lambda x: x * x),
    "reverse": (packed.reverse, lambda x: x.flip(0)),
    "shift 0": (lambda p: packed.shift(p, 0, 7), lambda x: x),
    "shift 1": (lambda p: packed.shift(p, 1, 7), lambda x: torch.cat([torch.full_like(x[:1], 7), x[:-1]])),
    "shift -1": (lambda p: packed.shift(p, -1, 7), lambda x: torch.cat([x[1:], torch.full_like(x[:1], 7)])),
    "shift -3": (
        lambda p: packed.shift(p, -3, 7),
        lambda x: torch.cat([x[3:], torch.full_like(x[:3], 7)]),
    ),
    "softmax": (packed.softmax, lambda x: x.softmax(0)),
}

# Tokens (L, ...) -> (...), and what the plain loop does with one sequence.
PER_SEQUENCE: dict[str, tuple[Callable[[PackedSequence], Tensor], Callable[[Tensor], Tensor]]] = {
    "first": (packed.first, lambda x: x[0]),
    "last": (packed.last, lambda x: x[-1]),
    "sum": (packed.sum, lambda x: x.sum(0)),
    "mean": (packed.mean, lambda x: x.mean(0)),
    "max": (packed.max, lambda x: x.amax(0)),
    "attend": (lambda p: packed.attend(p, p), lambda x: (x.softmax(0) * x).sum(0)),
}


def lengths(max_size: int = 40) -> st.SearchStrategy[list[int]]:
    """Draw one or many lengths, with ties (torch's sort of more than 16 is not stable) or one much longer."""
    ordinary = st.lists(st.integers(1, 9), min_size=1, max_size=max_size)
    long = st.tuples(st.lists(st.integers(1, 3), max_size=max_size - 1), st.integers(100, 200)).flatmap(
        lambda drawn: st.permutations([*drawn[0], drawn[1]])
    )
    return st.one_of(ordinary, long)


shapes = st.sampled_from([(), (3,), (2, 3)])


def ragged(sizes: list[int], shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(sizes))
    if dtype.is_floating_point or dtype.is_complex:
        return [torch.randn(size, *shape, generator=generator, dtype=dtype) for size in sizes]
    return [torch.randint(0, 100, (size, *shape), generator=generator).to(dtype) for size in sizes]


def assert_same_pack(got: PackedSequence, wanted: PackedSequence) -> None:
    assert type(got) is PackedSequence
    for mine, theirs in zip(got, wanted, strict=True):
        if theirs is None:
            assert mine is None
        else:
            assert_close(mine, theirs, rtol=0, atol=0)


def in_order(sizes: list[int], enforce_sorted: bool) -> list[int]:
    return sorted(sizes, reverse=True) if enforce_sorted else sizes


def check_gradient(got: Tensor, inputs: list[Tensor], wanted: Tensor, rows: list[Tensor]) -> None:
    """Compare both gradients of one random projection of the result."""
    cotangent = torch.randn(got.shape, generator=torch.Generator().manual_seed(0), dtype=got.dtype)
    assert_close(torch.autograd.grad(got, inputs, cotangent), torch.autograd.grad(wanted, rows, cotangent))


class Recorder(TorchDispatchMode):
    """Count the operations and keep the size of the largest tensor created."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result
