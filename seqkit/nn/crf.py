"""A linear-chain conditional random field on packed data (Lafferty, McCallum and Pereira 2001)."""

import math
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.kernels import crf as kernels
from seqkit.labels import Allowed
from seqkit.packed import PackedLayout

_NEVER = -1e30  # next to any score; sums of it stay finite


class CRF(nn.Module):
    """Scores of tag sequences: those of each tag at its token, of each transition, of the first and the last tag.

    Everything is a recursion over the shrinking batches of a PackedSequence: no mask, no padding. It runs in
    float64, whatever the scores are (float32 on devices without it), over exponentials that are normalised at each
    step; scores whose range would overflow even so are summed as logarithms, slower. The host waits for an
    accelerator a few times a call, however many tokens there are. The gradient is closed-form, by the marginals,
    and is not differentiable again.

    A token whose tag is not known may hold ``ignore_index``: the likelihood is then that of the known tags, summed
    over all tags at the other tokens (Tsuboi et al. 2008, https://aclanthology.org/C08-1113).

    Args:
        num_tags: C.
        ignore_index: Stands for a tag that is not known.
    """

    allowed_start: Tensor
    allowed_transitions: Tensor
    allowed_end: Tensor

    def __init__(self, num_tags: int, ignore_index: int = -100) -> None:
        super().__init__()
        self.num_tags = num_tags
        self.ignore_index = ignore_index
        self.start = nn.Parameter(torch.empty(num_tags))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags))
        self.end = nn.Parameter(torch.empty(num_tags))
        for name, parameter in list(self.named_parameters()):
            free = torch.ones(parameter.shape, dtype=torch.bool)
            self.register_buffer(f"allowed_{name}", free, persistent=False)
        self._mixing: int | None = 1
        self.reset_parameters()

    def restrict(self, allowed: Allowed) -> Self:
        """Give all else probability zero, in training and in decoding.

        Args:
            allowed: What may stand where; not part of the state dict.

        Returns:
            The module itself.

        Raises:
            ValueError: ``allowed`` is for another number of tags.
        """
        for name, free in allowed._asdict().items():
            held = getattr(self, f"allowed_{name}")
            if free.shape != held.shape:
                raise ValueError(
                    f"CRF: allowed.{name} has shape {tuple(free.shape)} for {self.num_tags} tags; give "
                    f"{tuple(held.shape)}"
                )
            held.copy_(free)
        # A tag that no path from a start to an end goes through would only draw the sums away from those that do.
        links = self.allowed_transitions
        live = _spread(self.allowed_start, links) & _spread(self.allowed_end, links.T)
        self.allowed_start &= live
        self.allowed_end &= live
        links &= live[:, None] & live
        self._mixing = _mixing_steps(links[live][:, live])
        return self

    def reset_parameters(self) -> None:
        """Draw all scores from U(-0.1, 0.1)."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, scores: PackedSequence, tags: PackedSequence) -> Tensor:
        """Compute the log-likelihood of each sequence's tags.

        Args:
            scores: Data (N, C).
            tags: Data (N,), ids in [0, C) or ``ignore_index``, packed as the scores are.

        Returns:
            (B,), in the original order; float32 of parameters in half precision.

        Raises:
            ValueError: Scores and tags are packed differently or in another order, the scores have another number
                of tags, an id is no tag, or a sequence of tags is not allowed.
        """
        self._check(scores)
        if not torch.equal(scores.batch_sizes, tags.batch_sizes):
            raise ValueError(
                f"CRF: scores of {_describe(scores)} but tags of {_describe(tags)}; pack both by the same lengths"
            )
        if not _same_order(scores.sorted_indices, tags.sorted_indices):
            raise ValueError(
                "CRF: scores and tags are packed with their sequences in different orders (sorted_indices); pack "
                "both from lists in the same order"
            )
        ids = tags.data
        unknown = ids == self.ignore_index
        if bool((((ids < 0) | (ids >= self.num_tags)) & ~unknown).any()):
            raise ValueError(
                f"CRF: tags from {int(ids.min())} to {int(ids.max())}, but it has {self.num_tags}; every token "
                f"needs one in [0, {self.num_tags}), or ignore_index={self.ignore_index} where none is known"
            )
        value, layout = scores.data.to(_precision(scores.data)), PackedLayout.of(scores)
        gold = self._known(value, ids, unknown, layout) if bool(unknown.any()) else self._gold(scores, value, ids)
        if not bool((gold.detach().isfinite() & (gold.detach() > _NEVER / 2)).all()):
            raise ValueError(
                "CRF: a sequence of tags that is not allowed (or a score that is not finite); do the tags follow "
                "another scheme, IOB1 for BIO? Give that one, or train without constraints"
            )
        return self._original(scores, (gold - self._log_partition(value, layout)).to(self._result()))

    def _gold(self, scores: PackedSequence, value: Tensor, ids: Tensor) -> Tensor:
        """The score of each sequence's tags (B,), longest first."""
        layout = PackedLayout.of(scores)
        start, transitions, end = self._restricted(value.dtype)
        inner = layout.num_sequences
        before = ids[layout.previous[inner:]]
        pairs = before * self.num_tags + ids[inner:]
        lasts = ids[layout.last]
        each = value.gather(1, ids[:, None])[:, 0]
        each = torch.cat([each[:inner], each[inner:] + transitions.flatten().index_select(0, pairs)])
        gold = start.index_select(0, ids[:inner]) + end.index_select(0, lasts)
        return gold.index_add(0, layout.ranks, each)

    def _known(self, value: Tensor, ids: Tensor, unknown: Tensor, layout: PackedLayout) -> Tensor:
        """The log of the sum over all paths through the known tags (B,), longest first."""
        tags = torch.arange(self.num_tags, device=ids.device)
        other = (ids[:, None] != tags) & ~unknown[:, None]
        return _by_logarithms(value.masked_fill(other, _NEVER), *self._restricted(value.dtype), layout)

    def marginals(self, scores: PackedSequence) -> PackedSequence:
        """Compute each tag's probability at each token.

        Args:
            scores: Data (N, C).

        Returns:
            Data (N, C), rows that sum to one; without gradient.
        """
        self._check(scores)
        with torch.inference_mode(False), torch.enable_grad():
            value = scores.data.detach().to(_precision(scores.data)).clone().requires_grad_()
            (found,) = torch.autograd.grad(self._log_partition(value, PackedLayout.of(scores)).sum(), value)
        return scores._replace(data=found.to(scores.data.dtype))

    @torch.no_grad()
    def decode(self, scores: PackedSequence) -> PackedSequence:
        """Find each sequence's best tags (Viterbi).

        Args:
            scores: Data (N, C).

        Returns:
            Data (N,), ids packed as the scores are.
        """
        self._check(scores)
        value = scores.data.to(_precision(scores.data))
        tags, _ = kernels.viterbi(value, PackedLayout.of(scores), *self._restricted(value.dtype))
        return scores._replace(data=tags)

    @torch.no_grad()
    def n_best(self, scores: PackedSequence, count: int) -> tuple[PackedSequence, Tensor]:
        """Find each sequence's best K sequences of tags.

        Args:
            scores: Data (N, C).
            count: K.

        Returns:
            Data (N, K), the tags of each path, best first; and the paths' log-probabilities (B, K) in the original
            order, -inf where a sequence has fewer allowed paths (the tags there mean nothing).
        """
        self._check(scores)
        value, layout = scores.data.to(_precision(scores.data)), PackedLayout.of(scores)
        tags, best = kernels.n_best(value, layout, *self._restricted(value.dtype), count)
        best = best - self._log_partition(value, layout)[:, None]
        return scores._replace(data=tags), self._original(scores, best.to(self._result()))

    def extra_repr(self) -> str:
        """The number of tags, and what stands for one that is not known."""
        return f"num_tags={self.num_tags}, ignore_index={self.ignore_index}"

    def _restricted(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Start, transition and end scores, -inf where not allowed."""
        start, transitions, end = (
            getattr(self, name).to(dtype).masked_fill(~getattr(self, f"allowed_{name}"), -torch.inf)
            for name in ("start", "transitions", "end")
        )
        return start, transitions, end

    def _log_partition(self, value: Tensor, layout: PackedLayout) -> Tensor:
        """The log of the sum over all paths (B,), longest first."""
        start, transitions, end = self._restricted(value.dtype)
        narrow = self._mixing is not None
        if self._mixing is not None:
            with torch.no_grad():
                # From any state the sums reach all tags within `mixing` steps, forwards and backwards: no state
                # that counts is smaller, next to the largest, than by these ranges together.
                step = (value.amax(1) - value.amin(1)).max() + _range(self.transitions) + math.log(self.num_tags)
                lost = (2 * self._mixing + 1) * step + _range(self.start) + _range(self.end)
                narrow = bool(lost < -math.log(torch.finfo(value.dtype).tiny))
        if narrow:
            return cast(Tensor, _LogPartition.apply(value, start, transitions, end, layout))  # type: ignore[no-untyped-call]
        return _by_logarithms(value, start, transitions, end, layout)

    def _check(self, scores: PackedSequence) -> None:
        if scores.data.dim() != 2 or scores.data.shape[1] != self.num_tags:
            raise ValueError(
                f"CRF: scores {tuple(scores.data.shape)} for {self.num_tags} tags; "
                f"give packed data (N, {self.num_tags})"
            )

    def _result(self) -> torch.dtype:
        return torch.promote_types(self.start.dtype, torch.float32)

    def _original(self, scores: PackedSequence, values: Tensor) -> Tensor:
        return values if scores.unsorted_indices is None else values[scores.unsorted_indices]


class _LogPartition(torch.autograd.Function):
    """The log of the sum over all paths; its gradient is the marginals and the expected transitions."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, start: Tensor, transitions: Tensor, end: Tensor, layout: PackedLayout
    ) -> Tensor:
        offsets = value.amax(1)
        potentials = (value - offsets[:, None]).exp_()
        start, transitions, end = start.exp(), transitions.exp(), end.exp()
        states, norms = kernels.forward(potentials, layout, start, transitions, end)
        ctx.save_for_backward(potentials, states, start, transitions, end)
        ctx.layout = layout
        ranks = layout.on(value.device).ranks
        return value.new_zeros(layout.num_sequences).index_add_(0, ranks, norms.log_().add_(offsets))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # where torch is to record the backward pass
            raise RuntimeError("CRF: the closed-form gradient is not differentiable again; leave out create_graph")
        potentials, states, _, transitions, end = ctx.saved_tensors
        layout = ctx.layout.on(potentials.device)
        marginals, after = kernels.backward(potentials, layout, transitions, end, states)
        weights = gradient[layout.ranks][:, None]
        marginals *= weights
        expected = (states.T @ after.mul_(weights)).mul_(transitions)
        firsts, lasts = marginals[: layout.num_sequences], marginals[layout.last]
        return marginals, firsts.sum(0), expected, lasts.sum(0), None


def _by_logarithms(value: Tensor, start: Tensor, transitions: Tensor, end: Tensor, layout: PackedLayout) -> Tensor:
    """The same by `torch.logsumexp` at each step: for any range of scores, and differentiable as it stands."""
    # The gradient of a logsumexp of nothing but -inf is nan; next to this no path that is not allowed counts.
    start, transitions, end = (scores.clamp(min=_NEVER) for scores in (start, transitions, end))
    held, final = start, []
    for t, x in enumerate(torch.split(value, layout.sizes)):
        if t:
            final.append(held[len(x) :])
            held = (held[: len(x), :, None] + transitions).logsumexp(1)
        held = held + x
    return (torch.cat([held, *reversed(final)]) + end).logsumexp(1)


def _spread(tags: Tensor, links: Tensor) -> Tensor:
    """The tags (C,) that a walk from some of them comes through."""
    for _ in range(len(tags)):
        tags = tags | (links & tags[:, None]).any(0)
    return tags


def _mixing_steps(links: Tensor) -> int | None:
    """The number of steps that lead from any tag to any other; None if there is none that is small."""
    single = links.float()
    reached = single
    for steps in range(1, 9):
        if bool((reached > 0).all()):
            return steps
        reached = ((reached @ single) > 0).float()
    return None


def _same_order(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None and other is None:
        return True
    if one is None or other is None:
        given = one if other is None else other
        assert given is not None
        return torch.equal(given, torch.arange(len(given), device=given.device))
    return torch.equal(one, other.to(one.device))


def _range(values: Tensor) -> Tensor:
    return values.max() - values.min()


def _precision(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


def _describe(values: PackedSequence) -> str:
    return f"{len(values.data)} tokens in {int(values.batch_sizes[0])} sequences"
