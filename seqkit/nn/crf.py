"""Linear-chain conditional random field on packed data (Lafferty, McCallum and Pereira 2001)."""

import math
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit.kernels import crf as kernels
from seqkit.labels import Allowed
from seqkit.packed import PackedLayout
from seqkit.upstream.torch import assert_async, transforms_active

_IMPOSSIBLE = -1e30  # far below any score, but finite, and so are sums of it
_NOT_AGAIN = "CRF: the closed-form gradient is not differentiable again; leave out create_graph"


class CRF(nn.Module):
    """Score tag sequences by the scores of tags at tokens, of transitions, and of the first and the last tag.

    All recursions run over the steps of the PackedSequence, without mask or padding, and compute in float64
    (float32 on devices without it). They sum exponentials that are normalised at each step. If the range of the
    scores could make these underflow, and under `torch.func`, they sum logarithms, which is slower. On an
    accelerator they always sum logarithms, and the host does not wait: tags that are out of range or not allowed
    are an error of the device, as in losses of torch. The gradient is computed in closed form from the marginals
    and cannot be differentiated again.

    A token with an unknown tag may have ``ignore_index``. The likelihood is then that of the known tags, summed
    over all tags of the other tokens (Tsuboi et al. 2008, https://aclanthology.org/C08-1113).

    Args:
        num_tags: C.
        ignore_index: Target of tokens with an unknown tag.
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
        """Set the probability of all other tag sequences to zero, in training and in decoding.

        Args:
            allowed: Allowed first tags, transitions and last tags; not part of the state dict.

        Returns:
            The module itself.

        Raises:
            ValueError: ``allowed`` has another number of tags.
        """
        for name, free in allowed._asdict().items():
            current = getattr(self, f"allowed_{name}")
            if free.shape != current.shape:
                raise ValueError(
                    f"CRF: allowed.{name} has shape {tuple(free.shape)} for {self.num_tags} tags; give "
                    f"{tuple(current.shape)}"
                )
            current.copy_(free)
        # Tags that are on no path from a first to a last tag could dominate the normalised sums.
        links = self.allowed_transitions
        used = _reachable(self.allowed_start, links) & _reachable(self.allowed_end, links.T)
        self.allowed_start &= used
        self.allowed_end &= used
        links &= used[:, None] & used
        self._mixing = _mixing_steps(links[used][:, used])
        return self

    def reset_parameters(self) -> None:
        """Draw all scores from U(-0.1, 0.1)."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, scores: PackedSequence, tags: PackedSequence) -> Tensor:
        """Compute the log-likelihood of each sequence's tags.

        Args:
            scores: Data (N, C).
            tags: Data (N,), ids in [0, C) or ``ignore_index``, packed like the scores.

        Returns:
            (B,), in the original order; in float32 if the parameters have half precision.

        Raises:
            ValueError: Scores and tags are packed differently or in another order, the scores have another number
                of tags, an id is out of range, or a sequence of tags is not allowed.
            RuntimeError: On an accelerator, for the last two.
        """
        self._check(scores)
        if not torch.equal(scores.batch_sizes, tags.batch_sizes):
            raise ValueError(
                f"CRF: scores of {_describe(scores)} but tags of {_describe(tags)}; pack both by the same lengths"
            )
        if not _same_order(scores.sorted_indices, tags.sorted_indices):
            raise ValueError(
                "CRF: the sequences of scores and tags are in different orders (sorted_indices); pack both from "
                "lists in the same order"
            )
        ids, value, layout = tags.data, scores.data.to(_precision(scores.data)), PackedLayout.of(scores)
        unknown = ids == self.ignore_index
        if ids.device.type != "cpu":
            likelihood = self._log_likelihood_in_log_space(value, ids, unknown, layout)
            return self._original_order(scores, likelihood.to(self._result_dtype()))
        if bool((((ids < 0) | (ids >= self.num_tags)) & ~unknown).any()):
            raise ValueError(
                f"CRF: tags from {int(ids.min())} to {int(ids.max())}, but num_tags is {self.num_tags}; every "
                f"token needs a tag in [0, {self.num_tags}), or ignore_index={self.ignore_index} if it is unknown"
            )
        if bool(unknown.any()):
            gold = self._partially_known_score(value, ids, unknown, layout)
        else:
            gold = self._path_score(value, ids, layout)
        if not bool((gold.detach().isfinite() & (gold.detach() > _IMPOSSIBLE / 2)).all()):
            raise ValueError(
                "CRF: a sequence of tags that is not allowed (or a score that is not finite); if the tags follow "
                "another scheme (IOB1 instead of BIO), give that one, or train without constraints"
            )
        return self._original_order(scores, (gold - self._log_partition(value, layout)).to(self._result_dtype()))

    def _path_score(self, value: Tensor, ids: Tensor, layout: PackedLayout) -> Tensor:
        """Compute the score of each sequence's tags (B,), longest first."""
        start, transitions, end = self._restricted(value.dtype)
        first = layout.num_sequences
        pairs = ids[layout.previous[first:]] * self.num_tags + ids[first:]
        by_token = value.gather(1, ids[:, None])[:, 0]
        by_token = torch.cat([by_token[:first], by_token[first:] + transitions.flatten().index_select(0, pairs)])
        score = start.index_select(0, ids[:first]) + end.index_select(0, ids[layout.last])
        return score.index_add(0, layout.ranks, by_token)

    def _partially_known_score(self, value: Tensor, ids: Tensor, unknown: Tensor, layout: PackedLayout) -> Tensor:
        """Compute the log of the sum over all paths through the known tags (B,), longest first."""
        return self._log_partition_in_log_space(self._known_only(value, ids, unknown), layout)

    def _known_only(self, value: Tensor, ids: Tensor, unknown: Tensor) -> Tensor:
        """Make all tags impossible but the known ones (N, C)."""
        tags = torch.arange(self.num_tags, device=ids.device)
        return value.masked_fill((ids[:, None] != tags) & ~unknown[:, None], _IMPOSSIBLE)

    def _log_likelihood_in_log_space(
        self, value: Tensor, ids: Tensor, unknown: Tensor, layout: PackedLayout
    ) -> Tensor:
        """Compute the log-likelihood (B,), longest first, without waiting for the device."""
        both = torch.stack([value, self._known_only(value, ids, unknown)], 1)  # (N, 2, C): one sweep for both
        everything, gold = self._log_partition_in_log_space(both, layout).unbind(1)
        valid = (gold.detach().isfinite() & (gold.detach() > _IMPOSSIBLE / 2)).all()
        assert_async(valid, "CRF: tags that are out of range or not allowed, or scores that are not finite")
        return gold - everything

    def marginals(self, scores: PackedSequence) -> PackedSequence:
        """Compute each tag's probability at each token.

        Args:
            scores: Data (N, C).

        Returns:
            Data (N, C), each row sums to one; without gradient.
        """
        self._check(scores)
        with torch.inference_mode(False), torch.enable_grad():
            value = scores.data.detach().to(_precision(scores.data)).clone().requires_grad_()
            (marginals,) = torch.autograd.grad(self._log_partition(value, PackedLayout.of(scores)).sum(), value)
        return scores._replace(data=marginals.to(scores.data.dtype))

    @torch.no_grad()
    def decode(self, scores: PackedSequence) -> PackedSequence:
        """Find each sequence's best path of tags (Viterbi).

        Args:
            scores: Data (N, C).

        Returns:
            Data (N,), ids packed like the scores.
        """
        self._check(scores)
        value = scores.data.to(_precision(scores.data))
        tags, _ = kernels.viterbi(value, PackedLayout.of(scores), *self._restricted(value.dtype))
        return scores._replace(data=tags)

    @torch.no_grad()
    def n_best(self, scores: PackedSequence, count: int) -> tuple[PackedSequence, Tensor]:
        """Find each sequence's best K paths of tags.

        Args:
            scores: Data (N, C).
            count: K.

        Returns:
            Data (N, K), the tags of each path, best first; and the log-probabilities of the paths (B, K) in the
            original order, -inf where a sequence has fewer allowed paths (ignore their tags).
        """
        self._check(scores)
        value, layout = scores.data.to(_precision(scores.data)), PackedLayout.of(scores)
        tags, best = kernels.n_best(value, layout, *self._restricted(value.dtype), count)
        best = best - self._log_partition(value, layout)[:, None]
        return scores._replace(data=tags), self._original_order(scores, best.to(self._result_dtype()))

    def extra_repr(self) -> str:
        """Show the constructor's arguments."""
        return f"num_tags={self.num_tags}, ignore_index={self.ignore_index}"

    def _restricted(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Get the start, transition and end scores, -inf where not allowed."""
        start, transitions, end = (
            getattr(self, name).to(dtype).masked_fill(~getattr(self, f"allowed_{name}"), -torch.inf)
            for name in ("start", "transitions", "end")
        )
        return start, transitions, end

    def _log_partition(self, value: Tensor, layout: PackedLayout) -> Tensor:
        """Compute the log of the sum over all paths (B,), longest first."""
        start, transitions, end = self._restricted(value.dtype)
        is_narrow = self._mixing is not None and value.device.type == "cpu" and not transforms_active()
        if self._mixing is not None and is_narrow:
            with torch.no_grad():
                # Within `mixing` steps, forwards and backwards, every tag reaches all others. Therefore the ratio
                # of a normalised state to the largest one is at least the exponential of minus these ranges.
                step = (value.amax(1) - value.amin(1)).max() + _range(self.transitions) + math.log(self.num_tags)
                log_ratio = (2 * self._mixing + 1) * step + _range(self.start) + _range(self.end)
                is_narrow = bool(log_ratio < -math.log(torch.finfo(value.dtype).tiny))
        if is_narrow:
            return cast(Tensor, _LogPartition.apply(value, start, transitions, end, layout))  # type: ignore[no-untyped-call]
        return self._log_partition_in_log_space(value, layout)

    def _log_partition_in_log_space(self, value: Tensor, layout: PackedLayout) -> Tensor:
        """Compute the log of the sum over all paths (B, ...), longest first, of scores (N, ..., C) of any range."""
        # With -inf, differences of scores would be nan; paths with this score instead have no effect on the sum.
        finite = (scores.clamp(min=_IMPOSSIBLE) for scores in self._restricted(value.dtype))
        if transforms_active():
            return kernels.log_forward(value, layout, *finite)[1]
        return cast(Tensor, _LogSpacePartition.apply(value, *finite, layout))  # type: ignore[no-untyped-call]

    def _check(self, scores: PackedSequence) -> None:
        if scores.data.dim() != 2 or scores.data.shape[1] != self.num_tags:
            raise ValueError(
                f"CRF: scores {tuple(scores.data.shape)} for {self.num_tags} tags; "
                f"give packed data (N, {self.num_tags})"
            )

    def _result_dtype(self) -> torch.dtype:
        return torch.promote_types(self.start.dtype, torch.float32)

    def _original_order(self, scores: PackedSequence, values: Tensor) -> Tensor:
        return values if scores.unsorted_indices is None else values[scores.unsorted_indices]


class _LogPartition(torch.autograd.Function):
    """Compute the log of the sum over all paths; the gradient is the marginals and the expected transitions."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, start: Tensor, transitions: Tensor, end: Tensor, layout: PackedLayout
    ) -> Tensor:
        offsets = value.amax(1)
        potentials = (value - offsets[:, None]).exp_()
        start, transitions, end = start.exp(), transitions.exp(), end.exp()
        states, norms = kernels.forward(potentials, layout, start, transitions, end)
        ctx.save_for_backward(potentials, states, transitions, end)
        ctx.layout = layout
        ranks = layout.on(value.device).ranks
        return value.new_zeros(layout.num_sequences).index_add_(0, ranks, norms.log_().add_(offsets))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # because of create_graph
            raise RuntimeError(_NOT_AGAIN)
        potentials, states, transitions, end = ctx.saved_tensors
        layout = ctx.layout.on(potentials.device)
        marginals, after = kernels.backward(potentials, layout, transitions, end, states)
        weights = gradient[layout.ranks][:, None]
        marginals = marginals * weights  # a batched backward has more weights
        expected = (states.T @ (after * weights)) * transitions
        firsts, lasts = marginals[: layout.num_sequences], marginals[layout.last]
        return marginals, firsts.sum(0), expected, lasts.sum(0), None


class _LogSpacePartition(torch.autograd.Function):
    """Compute the same from logarithms (N, ..., C) of any range."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, start: Tensor, transitions: Tensor, end: Tensor, layout: PackedLayout
    ) -> Tensor:
        states, sums = kernels.log_forward(value, layout, start, transitions, end)
        ctx.save_for_backward(value, states, sums, transitions, end)
        ctx.layout = layout
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # because of create_graph
            raise RuntimeError(_NOT_AGAIN)
        value, states, sums, transitions, end = ctx.saved_tensors
        layout = ctx.layout.on(value.device)
        marginals, expected = kernels.log_backward(value, layout, transitions, end, states, sums, gradient)
        firsts, dims = marginals[: layout.num_sequences], tuple(range(gradient.dim()))
        return marginals, firsts.sum(dims), expected, marginals[layout.last].sum(dims), None


def _reachable(tags: Tensor, links: Tensor) -> Tensor:
    """Find all tags (C,) on paths that begin at these tags."""
    for _ in range(len(tags)):
        tags = tags | (links & tags[:, None]).any(0)
    return tags


def _mixing_steps(links: Tensor) -> int | None:
    """Count the steps after which every tag reaches all others; None for more than eight."""
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
        order = one if other is None else other
        assert order is not None
        return torch.equal(order, torch.arange(len(order), device=order.device))
    return torch.equal(one, other.to(one.device))


def _range(values: Tensor) -> Tensor:
    return values.max() - values.min()


def _precision(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


def _describe(values: PackedSequence) -> str:
    return f"{len(values.data)} tokens in {int(values.batch_sizes[0])} sequences"
