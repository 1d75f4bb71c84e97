"""Reports of a language model: by token, and by position in the row."""

import math
from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.losses import Values, unit_values
from seqkit.metrics.report.base import ReportMetric, ReportTable, readable

_MAX_ROWS = 20  # tokens in the table
_DOUBLINGS = 63  # of an int64 position


class _NLLReport(ReportMetric, ABC):
    """Negative log-likelihoods and numbers of tokens, by group.

    Args:
        size: The number of groups G.
    """

    tokens: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.add_sum("nll", size)
        self.add_state("tokens", torch.zeros(size, dtype=torch.long), dist_reduce_fx="sum")

    def compute(self) -> dict[str, Tensor]:
        """Return the sums ``nll`` (in nats) and the counts ``tokens``, (G,) each."""
        return {"nll": self.sum_of("nll").cpu(), "tokens": self.tokens.cpu()}

    def _add(self, groups: Tensor, nll: Tensor) -> None:
        """Add tokens: the group and the negative log-likelihood of each, (N,)."""
        sums = nll.new_zeros(len(self.tokens), dtype=torch.float32)
        self.increase("nll", sums.index_add_(0, groups, nll.float()))
        self.tokens += groups.bincount(minlength=len(self.tokens))


class TokenReport(_NLLReport):
    """Report the tokens from which most of a language model's loss comes.

    Args:
        size: The number of token ids.
        token_names: Turns ids into texts.
    """

    def __init__(self, size: int, token_names: Callable[[Sequence[int]], list[str]]) -> None:
        super().__init__(size)
        self._token_names = token_names

    def update(self, nll: Values, tokens: Values) -> None:
        """Add a batch: negative log-likelihoods and token ids, (N,) each."""
        self._add(unit_values(tokens), unit_values(nll))

    def table(self) -> ReportTable:
        """Format the tokens with the largest part of the loss, and all tokens together."""
        nll, tokens, order = self._ordered()
        names, total = self._token_names(order[:_MAX_ROWS]), float(nll.sum())
        each = []
        for i, name in zip(order[:_MAX_ROWS], names, strict=True):
            value, count = float(nll[i]), int(tokens[i])
            each.append((readable(name), f"{count:,}", f"{value / count:.3f}", f"{value / total:.1%}"))
        count = int(tokens.sum())
        everything = ("all", f"{count:,}", f"{total / max(count, 1):.3f}", "100.0%")
        caption = ""
        if len(order) > _MAX_ROWS:
            caption = f"the {_MAX_ROWS} tokens of {len(order):,} that most of the loss comes from"
        return ReportTable(("token", "count", "NLL per token", "share of all NLL"), [each, [everything]], caption)

    def to_python(self) -> dict[str, Any]:
        """Return all tokens together, and each token that occurs, those with most of the loss first."""
        nll, tokens, order = self._ordered()
        each = [
            {"token": name, "count": int(tokens[i]), "nll": float(nll[i]) / int(tokens[i])}
            for i, name in zip(order, self._token_names(order), strict=True)
        ]
        return {"all": _measures(float(nll.sum()), int(tokens.sum())), "by_token": each}

    def _ordered(self) -> tuple[Tensor, Tensor, list[int]]:
        """Return the sums, the counts, and the ids that occur, those with most of the loss first."""
        nll, tokens = self.compute().values()
        order = nll.argsort(descending=True, stable=True)
        return nll, tokens, order[tokens[order] > 0].tolist()


class PositionReport(_NLLReport):
    """Report a language model's perplexity by position in the row, at positions 1, 2 to 3, 4 to 7 and so on."""

    def __init__(self) -> None:
        super().__init__(_DOUBLINGS)

    def update(self, nll: Values) -> None:
        """Add a batch of rows: negative log-likelihoods, packed, data (N,).

        A tensor is a piece of continuous text, whose tokens have no position in a row; it adds nothing.
        """
        if isinstance(nll, PackedSequence):
            positions = packed.positions(nll) + 1
            powers = 2 ** torch.arange(_DOUBLINGS, device=positions.device)
            self._add(torch.bucketize(positions, powers, right=True) - 1, nll.data)

    def table(self) -> ReportTable:
        """Format one row a group."""
        rows = [
            (name, f"{of['tokens']:,}", *(f"{of[key]:.3f}" for key in ("nll", "perplexity", "bits")))
            for name, of in self.to_python()["by_place"].items()
        ]
        return ReportTable(("place in the row", "tokens", "NLL per token", "perplexity", "bits"), [rows])

    def to_python(self) -> dict[str, Any]:
        """Return the perplexity by position; the end of a row is its last token."""
        groups = {}
        nll, tokens = (values.tolist() for values in self.compute().values())
        for doubling in (i for i, count in enumerate(tokens) if count):
            first, last = 1 << doubling, (1 << doubling + 1) - 1
            name = str(first) if first == last else f"{first} to {last}"
            groups[name] = _measures(nll[doubling], tokens[doubling])
        return {"by_place": groups}


def _measures(nll: float, tokens: int) -> dict[str, float]:
    mean = nll / max(tokens, 1)
    return {"tokens": tokens, "nll": mean, "perplexity": math.exp(min(mean, 700.0)), "bits": mean / math.log(2)}
