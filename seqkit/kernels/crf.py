"""The sweeps of a linear-chain CRF over packed sequences, in torch and in compiled code (`csrc/crf.cpp`).

All functions take float potentials or scores (N, C) in packed order and their layout. Potentials are exponentials
of scores; those of a token are divided by the largest of them, those of the transitions (C, C) go from row to
column. Each step normalises its states to a sum of one, so nothing overflows; see Rabiner 1989, section V.A.
"""

import torch
from torch import Tensor

from seqkit.kernels.compiled import load_library
from seqkit.packed import PackedLayout


def forward(
    potentials: Tensor, layout: PackedLayout, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """Sweep from the first tokens to the last.

    Returns:
        The normalised forward states (N, C) and the sums (N,) that they were divided by. The last sum of a sequence
        includes ``end``; the product of a sequence's sums is the sum over all its paths.
    """
    if _native(potentials):
        states, norms = torch.empty_like(potentials), potentials.new_empty(len(potentials))
        arguments = (potentials, start, transitions, end, states, norms)
        _call("forward", layout, potentials, *arguments)
        return states, norms
    each, held, final = [], start.expand(layout.num_sequences, -1), []
    for t, x in enumerate(torch.split(potentials, layout.sizes)):
        raw = (held if t == 0 else held[: len(x)] @ transitions) * x
        norms = raw.sum(-1)
        if t:
            final.append(held[len(x) :])
        held = raw / norms[:, None]
        each.append((held, norms))
    states, norms = (torch.cat(parts) for parts in zip(*each, strict=True))
    ends = torch.cat([held, *reversed(final)])  # (B, C)
    norms[layout.on(norms.device).last] *= ends @ end
    return states, norms


def backward(
    potentials: Tensor, layout: PackedLayout, transitions: Tensor, end: Tensor, states: Tensor
) -> tuple[Tensor, Tensor]:
    """Sweep from the last tokens to the first.

    Returns:
        The marginals (N, C), and for each token the weight of its continuations (N, C), zero at the last token: the
        expected number of transitions is ``transitions * (states.T @ after)``.
    """
    if _native(potentials):
        marginals, after = torch.empty_like(potentials), torch.empty_like(potentials)
        arguments = (potentials, transitions.T.contiguous(), end, states, marginals, after)
        _call("backward", layout, potentials, *arguments)
        return marginals, after
    sizes = layout.sizes
    each, future, ahead = [], end.expand(0, -1), potentials.new_zeros(0, len(end))
    for x, p in zip(reversed(torch.split(potentials, sizes)), reversed(torch.split(states, sizes)), strict=True):
        ending = len(x) - len(future)
        future = torch.cat([future, end.expand(ending, -1)])
        ahead = torch.cat([ahead, ahead.new_zeros(ending, len(end))])
        raw = p * future
        norms = raw.sum(-1, keepdim=True)
        each.append((raw / norms, ahead / norms))
        ahead = future * x / norms
        future = ahead @ transitions.T
    marginals, after = (torch.cat(parts[::-1]) for parts in zip(*each, strict=True))
    return marginals, after


def log_forward(
    scores: Tensor, layout: PackedLayout, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """Sweep from the first tokens to the last in logarithms, which works for any range of scores.

    Args:
        scores: (N, ..., C) logarithms, like the other scores; all of them finite.
        layout: Where the tokens are.
        start: (C,).
        transitions: (C, C).
        end: (C,).

    Returns:
        The logarithms of the forward states (N, ..., C) and of the sums over all paths (B, ...), longest first.
    """
    state, states, final = start, [], []
    for t, x in enumerate(torch.split(scores, layout.sizes)):
        if t:
            final.append(state[len(x) :])
            state = (state[: len(x)].unsqueeze(-1) + transitions).logsumexp(-2)
        state = state + x
        states.append(state)
    return torch.cat(states), (torch.cat([state, *reversed(final)]) + end).logsumexp(-1)


def log_backward(
    scores: Tensor,
    layout: PackedLayout,
    transitions: Tensor,
    end: Tensor,
    states: Tensor,
    sums: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sweep from the last tokens to the first in logarithms; the states and sums are those of `log_forward`.

    Args:
        scores: (N, ..., C).
        layout: Where the tokens are.
        transitions: (C, C).
        end: (C,).
        states: (N, ..., C).
        sums: (B, ...).
        weights: (B, ...), what each sequence counts.

    Returns:
        The weighted marginals (N, ..., C) and the weighted sum of the expected transitions (C, C).
    """
    sizes, expected = layout.sizes, torch.zeros_like(transitions)
    paths = torch.split(states - sums[layout.ranks].unsqueeze(-1), sizes)
    futures, ahead = [], scores[:0]
    for x, path in zip(reversed(torch.split(scores, sizes)), reversed(paths), strict=True):
        following = len(ahead)
        pairs = transitions + ahead.unsqueeze(-2)  # (b, ..., C, C)
        future = torch.cat([pairs.logsumexp(-1), end.expand(x[following:].shape)])
        pairs = (pairs + path[:following].unsqueeze(-1)).exp() * weights[:following, ..., None, None]
        expected = expected + pairs.sum(tuple(range(pairs.dim() - 2)))  # a batched backward has more weights
        futures.append(future)
        ahead = x + future
    marginals = (torch.cat(paths) + torch.cat(futures[::-1])).exp() * weights[layout.ranks].unsqueeze(-1)
    return marginals, expected


def viterbi(
    scores: Tensor, layout: PackedLayout, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """Find each sequence's best path.

    Args:
        scores: (N, C) logarithms, like the other scores.
        layout: Where the tokens are.
        start: (C,).
        transitions: (C, C).
        end: (C,).

    Returns:
        The tags (N,) and the paths' scores (B,).
    """
    if _native(scores):
        tags = torch.empty(len(scores), dtype=torch.long)
        best = scores.new_empty(layout.num_sequences)
        _call("viterbi", layout, scores, scores, start, transitions, end, tags, best)
        return tags, best
    tags, best = n_best(scores, layout, start, transitions, end, 1)
    return tags[:, 0], best[:, 0]


def n_best(
    scores: Tensor, layout: PackedLayout, start: Tensor, transitions: Tensor, end: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Find each sequence's K best paths; arguments as in `viterbi`.

    Returns:
        The tags (N, K) and the paths' scores (B, K), best first; -inf if there are fewer paths.
    """
    sizes, tags = layout.sizes, len(start)
    held = scores.new_full((sizes[0], tags, count), -torch.inf)  # the best K paths that end in each tag
    pointers, final = [], []
    for t, x in enumerate(torch.split(scores, sizes)):
        if t == 0:
            held[:, :, 0] = start + x
            continue
        final.append(held[len(x) :])
        paths = held[: len(x), :, :, None] + transitions[:, None, :]  # (b, C, K, C)
        best, back = paths.flatten(1, 2).topk(count, 1)  # (b, K, C)
        held = (best + x[:, None, :]).mT
        pointers.append(back.mT)  # (b, C, K), index into C * K
    ends = torch.cat([held, *reversed(final)]) + end[:, None]  # (B, C, K)
    best, slots = ends.flatten(1).topk(count, 1)  # (B, K)
    found, held = [], slots[: sizes[-1]]
    for t in range(len(sizes) - 1, -1, -1):
        found.append(held // count)
        if t:
            back = pointers[t - 1].flatten(1).gather(1, held)
            held = torch.cat([back, slots[sizes[t] : sizes[t - 1]]])
    return torch.cat(found[::-1]), best


def _native(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float64 and load_library("sweeps") is not None


def _call(name: str, layout: PackedLayout, like: Tensor, *tensors: Tensor) -> None:
    dense = [tensor.contiguous() for tensor in tensors]  # keeps them alive during the call
    getattr(load_library("sweeps"), f"seqkit_crf_{name}")(
        len(layout.sizes),
        layout.num_sequences,
        like.shape[1],
        layout.batch_sizes.data_ptr(),
        torch.get_num_threads(),
        *(tensor.data_ptr() for tensor in dense),
    )
