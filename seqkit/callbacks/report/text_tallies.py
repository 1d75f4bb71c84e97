"""What a test of label sequences or of a language model gave: mergeable over ranks, as tables."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import torch
from rich.table import Table
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.callbacks.report.figures import confusion_figure
from seqkit.callbacks.report.tallies import Tally, new_table
from seqkit.labels import END, UNKNOWN, align, nearest, split
from seqkit.losses import unit_values
from seqkit.tasks.ctc_recognizer import CTCRecognizer
from seqkit.tasks.language_model import LanguageModel
from seqkit.tasks.outputs import TaskOutput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = {"substitution": 15, "deletion": 8, "insertion": 8}  # at most in a printed table
_TOKENS = 20  # at most in a printed table
_MATRIX = 60  # labels at most of which a picture is drawn


class EditTally(Tally):
    """Which labels were taken for which, left out and put in, against the nearest reference of each row.

    Args:
        head: The task.
    """

    def __init__(self, head: CTCRecognizer) -> None:
        self._head = head
        self.names = head.names
        self.pairs: Counter[tuple[int, int]] = Counter()  # of ids, wanted and found
        self.rows = self.wrong = 0

    def update(self, outcome: TaskOutput) -> None:
        """Count a batch."""
        ((found, wanted),) = self._head.metric_inputs(*outcome)
        ours = split(cast(PackedSequence, found))
        references, distances = nearest(ours, split(cast(PackedSequence, wanted)))
        aligned = align(ours, references)
        self.pairs.update(zip(aligned.wanted.tolist(), aligned.found.tolist(), strict=True))
        self.rows += len(distances)
        self.wrong += int((distances > 0).sum())

    def merge(self, others: "Iterable[EditTally]") -> None:
        """Add what the other ranks counted."""
        for other in others:
            self.pairs.update(other.pairs)
            self.rows += other.rows
            self.wrong += other.wrong

    def table(self) -> Table:
        """The most frequent substitutions, deletions and insertions."""
        made = new_table("edit", "true", "predicted", "count", "share of edits")
        totals = self._totals()
        edits = sum(totals[kind] for kind in _SHOWN)
        for kind, most in _SHOWN.items():
            made.add_section()
            for line in [line for line in self._edits() if line["edit"] == kind][:most]:
                names = (shown(line[side]) for side in ("true", "predicted"))
                made.add_row(kind, *names, f"{line['count']:,}", f"{line['count'] / edits:.1%}")
        kinds = ", ".join(f"{totals[kind]:,} {kind}s" for kind in _SHOWN)
        made.caption = (
            f"{edits:,} edits of {totals['labels']:,} labels: {kinds}; {self.wrong:,} of {self.rows:,} rows wrong"
        )
        return made

    def to_python(self) -> dict[str, Any]:
        """The numbers of edits, by label how often it was there, found and right, and every edit there was."""
        support, found = Counter[int](), Counter[int]()
        for (true, said), count in self.pairs.items():
            support[true] += count
            found[said] += count
        labels = {
            name: {"support": support[i], "predicted": found[i], "right": self.pairs[i, i]}
            for i, name in enumerate(self.names)
        }
        totals = self._totals() | {"rows": self.rows, "rows_wrong": self.wrong}
        return {"totals": totals, "by_label": labels, "edits": self._edits()}

    def figure(self, title: str) -> "Figure | None":
        """True labels by predicted ones, ∅ where there is none."""
        size = len(self.names) + 1
        if size > _MATRIX:
            return None
        matrix = torch.zeros(size, size, dtype=torch.long)
        for (true, said), count in self.pairs.items():
            if UNKNOWN not in (true, said):
                matrix[true, said] = count  # END is -1, the last
        return confusion_figure(matrix.numpy(), [*self.names, "∅"], title)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_head"}

    def _totals(self) -> dict[str, int]:
        totals = dict.fromkeys(("labels", "right", *_SHOWN), 0)
        for (true, said), count in self.pairs.items():
            totals["labels"] += count if true != END else 0
            totals[_kind(true, said)] += count
        return totals

    def _edits(self) -> list[dict[str, Any]]:
        """Most frequent first; None for no label."""
        names = dict(enumerate(self.names)) | {UNKNOWN: "(unknown)", END: None}
        pairs = sorted(self.pairs.items(), key=lambda item: (-item[1], item[0]))
        return [
            {"edit": _kind(true, said), "true": names[true], "predicted": names[said], "count": count}
            for (true, said), count in pairs
            if true != said
        ]


class _NatsTally(Tally):
    """Nats and numbers of tokens, (size,) each."""

    def __init__(self, size: int) -> None:
        self.nats, self.tokens = torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.long)

    def add(self, groups: Tensor, nats: Tensor) -> None:
        """Count tokens (N,), each in its group."""
        self.nats.index_add_(0, groups, nats.detach().cpu().double())
        self.tokens += groups.bincount(minlength=len(self.tokens))

    def merge(self, others: "Iterable[_NatsTally]") -> None:
        """Add what the other ranks counted."""
        for other in others:
            self.nats += other.nats
            self.tokens += other.tokens


class PlaceTally(_NatsTally):
    """Perplexity by a token's place in its row: what a language model makes of the tokens before."""

    def __init__(self) -> None:
        super().__init__(63)

    def update(self, outcome: TaskOutput) -> None:
        """Count a batch of rows; a piece of continuous text has no places."""
        if isinstance(outcome.output, PackedSequence):
            places = packed.positions(outcome.output).cpu() + 1
            octaves = torch.frexp(places.double()).exponent.long() - 1  # 1, 2 to 3, 4 to 7, ...
            self.add(octaves, outcome.output.data)

    def table(self) -> Table:
        """A line for each doubling of the place."""
        made = new_table("place in the row", "tokens", "nats a token", "perplexity", "bits")
        for name, found in self.to_python()["by_place"].items():
            numbers = (f"{found[key]:.3f}" for key in ("nats", "perplexity", "bits"))
            made.add_row(name, f"{found['tokens']:,}", *numbers)
        return made

    def to_python(self) -> dict[str, Any]:
        """By place, the end of a row counted as its last."""
        places = {}
        for octave, (nats, tokens) in enumerate(zip(self.nats.tolist(), self.tokens.tolist(), strict=True)):
            if tokens:
                first, last = 1 << octave, (1 << octave + 1) - 1
                places[str(first) if first == last else f"{first} to {last}"] = _measures(nats, tokens)
        return {"by_place": places}


class TokenTally(_NatsTally):
    """Which tokens a language model finds hard.

    Args:
        head: The task.
    """

    def __init__(self, head: LanguageModel) -> None:
        super().__init__(head.boundary + 1)
        self._head = head

    def update(self, outcome: TaskOutput) -> None:
        """Count a batch."""
        self.add(unit_values(outcome.target).cpu(), unit_values(outcome.output))

    def table(self) -> Table:
        """The tokens that most of the loss comes from, and all together."""
        made = new_table("token", "count", "nats a token", "share of all nats")
        total = float(self.nats.sum())
        order = self._order()
        for i, name in zip(order[:_TOKENS], self._head.token_names(order[:_TOKENS]), strict=True):
            nats, tokens = float(self.nats[i]), int(self.tokens[i])
            made.add_row(shown(name), f"{tokens:,}", f"{nats / tokens:.3f}", f"{nats / total:.1%}")
        made.add_section()
        tokens = int(self.tokens.sum())
        made.add_row("all", f"{tokens:,}", f"{total / max(tokens, 1):.3f}", "100.0%")
        if len(order) > _TOKENS:
            made.caption = f"the {_TOKENS} tokens of {len(order):,} that most of the loss comes from"
        return made

    def to_python(self) -> dict[str, Any]:
        """All together, and each token that there was, those first that most of the loss comes from."""
        order = self._order()
        each = [
            {"token": name, "count": int(self.tokens[i]), "nats": float(self.nats[i]) / int(self.tokens[i])}
            for i, name in zip(order, self._head.token_names(order), strict=True)
        ]
        return {"all": _measures(float(self.nats.sum()), int(self.tokens.sum())), "by_token": each}

    def __getstate__(self) -> dict[str, Tensor]:
        return {"nats": self.nats, "tokens": self.tokens}

    def _order(self) -> list[int]:
        order: list[int] = self.nats.argsort(descending=True, stable=True).tolist()
        counts = self.tokens.tolist()
        return [i for i in order if counts[i]]


def shown(name: str | None) -> str:
    """A label or token as it can be read in a table: blanks and line ends as code."""
    if name is None:
        return ""
    return name if name.isprintable() and name.strip() else repr(name)


def _kind(true: int, said: int) -> str:
    if true == said:
        return "right"
    return "insertion" if true == END else "deletion" if said == END else "substitution"


def _measures(nats: float, tokens: int) -> dict[str, float]:
    mean = nats / max(tokens, 1)
    return {"tokens": tokens, "nats": mean, "perplexity": math.exp(min(mean, 700.0)), "bits": mean / math.log(2)}
