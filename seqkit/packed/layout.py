"""The index of each token of a pack, computed once a batch and shared by all modules that need it."""

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed.transfer import to_device
from seqkit.upstream.torch import outside_transforms, transforms_active, without_transforms


class _Index:
    """A property that is computed at its first use, as a tensor that autograd can save and no transform owns.

    `functools.cached_property` has a lock in Python 3.11, which `torch.compile` cannot trace.
    """

    def __init__(self, compute: "Callable[[PackedLayout], Tensor]") -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, layout: "PackedLayout", owner: "type[PackedLayout] | None" = None) -> Tensor:
        if torch.compiler.is_compiling():
            return self.compute(layout)
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext(), _kept():
            found = self.compute(layout)
        vars(layout)[self.compute.__name__] = found  # the next access reads this instead of calling __get__
        return found


class PackedLayout:
    """The indices of the N tokens of B packed sequences, of which the longest has T tokens.

    A token has a *position* t, its time step, and a *rank* b, the number of its sequence when the sequences are
    numbered from the longest on. Its index in the packed data is ``starts[t] + b``.

    Each tensor is computed when it is first read, and kept. ``on`` returns the same layout on another device.
    Permutations (``sorted_indices``) are not part of a layout.

    Args:
        batch_sizes: (T,) int64 on the CPU, for each t the number of sequences with more than t tokens. Do not
            change it in place afterwards.
        num_tokens: N, if the caller knows it.
        device: Where the index tensors are; by default on the CPU.

    Attributes:
        batch_sizes: As given.
        num_tokens: N.
        device: As given.
    """

    def __init__(
        self, batch_sizes: Tensor, num_tokens: int | None = None, device: torch.device | None = None
    ) -> None:
        if not torch.compiler.is_compiling():
            _refuse_tracing()
            batch_sizes = without_transforms(batch_sizes)
        with _kept():
            # A new tensor object: the cache of `of` must not keep its own key alive.
            self.batch_sizes = batch_sizes.detach().contiguous()
            self.device = self.batch_sizes.device if device is None else device
            self.num_tokens = int(self.batch_sizes.sum()) if num_tokens is None else num_tokens
        self._elsewhere: dict[torch.device, Self] = {}

    @classmethod
    def of(cls, packed: PackedSequence, device: torch.device | None = None) -> "PackedLayout":
        """Return the layout of a pack: one object for all packs that share one ``batch_sizes`` tensor.

        Args:
            packed: Data (N, ...).
            device: Where the index tensors are; by default on the data's device.

        Raises:
            RuntimeError: The batch sizes are none of N tokens, or `torch.jit.trace` is at work.
            TypeError: The batch sizes are no list of integers.
        """
        sizes, device = packed.batch_sizes, packed.data.device if device is None else device
        if torch.compiler.is_compiling():
            return PackedLayout(sizes, len(packed.data), device)
        key = id(sizes)
        owner, layout = _layouts.get(key, (None, None))
        if layout is None or owner is None or owner() is not sizes:
            layout = PackedLayout(sizes, len(packed.data))
            layout.check(len(packed.data))
            _layouts[key] = weakref.ref(sizes, lambda _: _layouts.pop(key, None)), layout
        elif packed.data.shape[0] != layout.num_tokens:
            layout.check(packed.data.shape[0])
        _refuse_tracing()
        return layout.on(device)

    @classmethod
    def from_lengths(cls, lengths: Tensor) -> Self:
        """Make the layout of sequences with these lengths (B,), int64 on the CPU, in any order."""
        return cls(torch.from_numpy(conjugate(lengths.numpy())), int(lengths.sum()))

    def check(self, num_tokens: int) -> None:
        """Check batch sizes from outside, which compiled code trusts. The errors have the types of torch's.

        Args:
            num_tokens: The length of the data.

        Raises:
            TypeError: The batch sizes are no list of integers.
            RuntimeError: They have another dtype than int64, rise, are negative, or are not of that many tokens.
        """
        sizes = self.batch_sizes
        if sizes.dim() != 1 or sizes.is_floating_point():
            raise TypeError(
                f"batch sizes are {sizes.dtype} of shape {tuple(sizes.shape)}; give int64 of shape (T,)"
            )
        if sizes.dtype != torch.int64:
            raise RuntimeError(f"batch sizes are {sizes.dtype}; give torch.int64")
        with _kept():
            numbers = sizes.numpy()
        if len(numbers) and (numbers[-1] < 0 or (numbers[1:] > numbers[:-1]).any()):
            raise RuntimeError(f"batch sizes are {numbers.tolist()}; they must not rise or be negative")
        if numbers.sum() != num_tokens:
            raise RuntimeError(f"batch sizes are of {numbers.sum()} tokens, but data has {num_tokens}")

    def on(self, device: torch.device) -> Self:
        """Return the same layout with its tensors on another device; the host does not wait."""
        if device == self.device:
            return self
        if device not in self._elsewhere:
            self._elsewhere[device] = type(self)(self.batch_sizes, self.num_tokens, device)
        return self._elsewhere[device]

    @cached_property
    def sizes(self) -> list[int]:
        """The batch sizes, T of them."""
        sizes: list[int] = self.batch_sizes.tolist()
        return sizes

    @property
    def num_sequences(self) -> int:
        """B."""
        return int(self.batch_sizes[0]) if len(self.batch_sizes) else 0

    def start(self, position: int) -> int:
        """Return the index of the first token of a time step; N if no sequence is that long."""
        return sum(self.sizes[:position])

    @_Index
    def starts(self) -> Tensor:
        """(T,) the index of each time step's first token."""
        return self._device_sizes.cumsum(0) - self._device_sizes

    @_Index
    def positions(self) -> Tensor:
        """(N,) the time step of each token."""
        if self._on_host:
            return torch.from_numpy(token_positions(self.batch_sizes.numpy()))
        # Given the size of the result, it does not wait for an accelerator.
        return torch.repeat_interleave(self._device_sizes, output_size=self.num_tokens)

    @_Index
    def ranks(self) -> Tensor:
        """(N,) the rank of each token's sequence."""
        if self._on_host:
            return torch.from_numpy(token_ranks(self.batch_sizes.numpy()))
        return torch.arange(self.num_tokens, device=self.device) - self.starts[self.positions]

    @_Index
    def lengths(self) -> Tensor:
        """(B,) the number of tokens of each sequence, longest first."""
        return self._move(torch.from_numpy(conjugate(self.batch_sizes.numpy())))

    @_Index
    def last(self) -> Tensor:
        """(B,) the index of each sequence's last token, longest sequence first."""
        return self.index(self.lengths - 1, torch.arange(self.num_sequences, device=self.device))

    @_Index
    def previous(self) -> Tensor:
        """(N,) the index of the token before each; N + b at the first token of the sequence of rank b."""
        before = self.index((self.positions - 1).clamp_(min=0), self.ranks)
        return torch.where(self.positions == 0, self.num_tokens + self.ranks, before)

    @_Index
    def next(self) -> Tensor:
        """(N,) the index of the token after each; N + b at the last token of the sequence of rank b."""
        after = torch.arange(self.num_tokens, device=self.device) + self._device_sizes[self.positions]
        ends = self.num_tokens + torch.arange(self.num_sequences, device=self.device)
        return after.index_copy_(0, self.last, ends)

    @_Index
    def reversal(self) -> Tensor:
        """(N,) the index of each token's mirror image in its sequence; its own inverse."""
        return self.index(self.lengths[self.ranks] - 1 - self.positions, self.ranks)

    def index(self, positions: Tensor, ranks: Tensor) -> Tensor:
        """Return the indices of the tokens with these positions and ranks."""
        return self.starts[positions] + ranks

    def gather_index(self, offsets: Tensor) -> Tensor:
        """Locate each token (N,) in other values, where the sequence of rank b begins at ``offsets[b]``."""
        return offsets.index_select(0, self.ranks) + self.positions

    def by_sequence(self, order: Tensor | None = None) -> Tensor:
        """List the index of each token (N,) sequence after sequence.

        Args:
            order: (B,) the ranks of the sequences in the wanted order; by default the longest comes first.
        """
        lengths = self.lengths if order is None else self.lengths[order]
        rows = torch.repeat_interleave(lengths, output_size=self.num_tokens)
        positions = torch.arange(self.num_tokens, device=self.device) - (lengths.cumsum(0) - lengths)[rows]
        return self.index(positions, rows if order is None else order[rows])

    @property
    def _on_host(self) -> bool:
        return self.device.type == "cpu" and not torch.compiler.is_compiling()

    @_Index
    def _device_sizes(self) -> Tensor:
        return self._move(self.batch_sizes)

    def _move(self, indices: Tensor) -> Tensor:
        return to_device(indices, self.device)


_layouts: dict[int, tuple[weakref.ref[Tensor], PackedLayout]] = {}  # by the id of `batch_sizes`, while that lives


def _refuse_tracing() -> None:
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        raise RuntimeError(
            "torch.jit.trace would keep the lengths of this batch for all others; use torch.compile or torch.export"
            ", or put torch's modules in by seqkit.nn.restore_recurrent(model)"
        )


def _kept() -> AbstractContextManager[None]:
    """Create tensors that outlive a transform of `torch.func` in which they are first needed."""
    if torch.compiler.is_compiling() or not transforms_active():
        return nullcontext()
    return outside_transforms()


# Collation calls these for each batch. They use numpy, whose calls cost a third of torch's.


def conjugate(sizes: np.ndarray) -> np.ndarray:
    """Turn lengths (B,), in any order, into batch sizes (T,), or batch sizes into falling lengths.

    Counts, for each i below the largest of the sizes, the sizes above i: the two are conjugate partitions of N.
    """
    counts: np.ndarray = len(sizes) - np.bincount(sizes).cumsum()[:-1]
    return counts


def token_positions(batch_sizes: np.ndarray) -> np.ndarray:
    """Compute the time step of each token (N,)."""
    return np.arange(len(batch_sizes)).repeat(batch_sizes)


def token_ranks(batch_sizes: np.ndarray) -> np.ndarray:
    """Compute the rank of each token's sequence (N,)."""
    starts = (batch_sizes.cumsum() - batch_sizes).repeat(batch_sizes)
    ranks: np.ndarray = np.arange(len(starts)) - starts
    return ranks
