"""Compare padding with packing, in numbers and pictures: on worked examples, then on your own lengths.

    python examples/packing_explained.py
    python examples/packing_explained.py 9 8 6 4 3 2
    python examples/packing_explained.py --picture packing.png

Every printed number is counted on tensors.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed

STEPS_EXAMPLE = [4, 6, 8, 5, 4, 3, 7, 8]
PRODUCT_EXAMPLE = [9, 8, 6, 4, 3, 2]

COLORS = ["#7aa6d6", "#f4a261", "#8cc084", "#e98a8a", "#7fc8c2", "#ecd06f", "#c3a3d3", "#bf9b85"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MOST_STEPS = 24  # that 80 columns can show


class Cost(NamedTuple):
    """One quantity, counted on the padded and on the packed batch."""

    padded: int
    packed: int


class Run(NamedTuple):
    """The results of a bidirectional LSTM on B sequences of N tokens.

    Attributes:
        outputs: (N, 2, H), at the tokens, sequence after sequence, forward and backward.
        h: (B, 2, H), the final states.
        c: (B, 2, H), the final cell states.
    """

    outputs: Tensor
    h: Tensor
    c: Tensor


# Counting and comparing


def count_steps(lengths: Sequence[int]) -> Cost:
    """Count the time steps that a recurrent model computes: all positions of the padded batch, or the tokens."""
    pack = packed.pack(torch.ones(sum(lengths)), lengths)
    return Cost(packed.to_padded(pack).numel(), pack.data.numel())


def count_multiplications(lengths: Sequence[int], columns: int) -> Cost:
    """Count the multiplications of two numbers in a padded batch (B, T) times a matrix (T, columns).

    Each position of a row, padding or token, is multiplied with the matrix's row for that time step, and the
    products of a row are summed. Without padding there are fewer products; a check shows that the sums are equal.
    """
    generator = torch.Generator().manual_seed(0)
    pack = packed.pack(torch.randn(sum(lengths), generator=generator), lengths)
    matrix = torch.randn(max(lengths), columns, generator=generator)
    padded_products = packed.to_padded(pack).unsqueeze(-1) * matrix  # (B, T, columns)
    packed_products = packed.apply(pack, lambda data: data[:, None] * matrix[packed.positions(pack)])
    torch.testing.assert_close(packed.sum(packed_products), packed.to_padded(pack) @ matrix)
    return Cost(padded_products.numel(), packed_products.data.numel())


def pack_words(words: Sequence[str]) -> PackedSequence:
    """Pack the letters of words, as code points."""
    return packed.pack([torch.tensor([ord(letter) for letter in word]) for word in words])


def run_lstm(lengths: Sequence[int], hidden_size: int = 3) -> dict[str, Run]:
    """Run one bidirectional ``torch.nn.LSTM`` on each sequence alone, on the padded batch and on the packed batch.

    Returns:
        ``alone`` (the correct results), ``padded`` and ``packed``, in float64.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = [torch.randn(length, 4, dtype=torch.float64) for length in lengths]
        lstm = nn.LSTM(4, hidden_size, bidirectional=True, batch_first=True, dtype=torch.float64)

    def run(outputs: Sequence[Tensor], h: Tensor, c: Tensor) -> Run:
        return Run(torch.cat(list(outputs)).view(-1, 2, hidden_size), h.transpose(0, 1), c.transpose(0, 1))

    with torch.no_grad():
        pack = packed.pack(rows)
        alone = [lstm(row) for row in rows]
        padded_outputs, padded_state = lstm(packed.to_padded(pack))
        packed_outputs, packed_state = lstm(pack)
    return {
        "alone": run(
            [output for output, _ in alone],
            torch.stack([h for _, (h, _) in alone], dim=1),
            torch.stack([c for _, (_, c) in alone], dim=1),
        ),
        "padded": run(packed.unpack(packed.from_padded(padded_outputs, lengths)), *padded_state),
        "packed": run(packed.unpack(packed_outputs), *packed_state),
    }


# On the terminal


def explain_steps(lengths: Sequence[int]) -> Iterator[object]:
    """Draw both batches and count their steps."""
    cost = count_steps(lengths)
    if _is_drawable(lengths):
        pack = _pack_numbers(lengths)
        batch_sizes = pack.batch_sizes.tolist()
        width = len(str(len(lengths))) + 1
        padded, tight = Text(), Text()
        for row, length in enumerate(lengths):
            _append_row(padded, row, length, width)
            padded.append("·".ljust(width) * (max(lengths) - length) + "\n", style="dim")
        for row in pack.data[: len(lengths)].tolist():
            _append_row(tight, row, lengths[row], width)
            tight.append("\n")
        tight.append("   " + "".join(str(size).ljust(width) for size in batch_sizes) + "\n   batch_sizes")
        yield Columns([padded, tight], padding=(0, 6))
    waste = 1 - cost.packed / cost.padded
    yield (
        f"{len(lengths)} sequences of {_join(lengths)} tokens take {cost.padded} steps padded and "
        f"{cost.packed} packed: {waste:.0%} of the padded steps compute padding.\n"
    )


def explain_product(lengths: Sequence[int], columns: int = 3) -> Iterator[object]:
    """Count the multiplications behind one column of a matrix product."""
    cost = count_multiplications(lengths, columns)
    shape = f"({len(lengths)}, {max(lengths)})"
    yield (
        f"Lengths {_join(lengths)}, padded to a {shape} matrix, times a ({max(lengths)}, {columns}) matrix: "
        f"each column of the result takes {cost.padded // columns} multiplications of two numbers, "
        f"{cost.packed // columns} if the padding is left out; all {columns} columns take {cost.padded} and "
        f"{cost.packed}. The results are equal."
    )
    steps = count_steps(lengths)
    yield (
        f"A recurrent model multiplies a row vector (a token's features) with its weight matrix at every step: "
        f"{steps.padded} such products padded, {steps.packed} packed.\n"
    )


def explain_order() -> Iterator[object]:
    """Show the order of packed data."""
    table = Table("sequences", "data", "batch_sizes")
    numbers = [[1, 2, 3], [3, 4]]
    pack = packed.pack([torch.tensor(row) for row in numbers])
    table.add_row(_join(numbers), str(pack.data.tolist()), str(pack.batch_sizes.tolist()))
    words = ["abc", "x"]
    pack = pack_words(words)
    table.add_row(_join(words), "".join(map(chr, pack.data.tolist())), str(pack.batch_sizes.tolist()))
    yield "First the first token of every sequence, the longest sequence first; then all second tokens, ..."
    yield table


def explain_lstm(lengths: Sequence[int]) -> Iterator[object]:
    """Compare the results of an LSTM on both batches with those on each sequence alone."""
    runs = run_lstm(lengths)
    alone = runs["alone"]
    table = Table("largest difference from each sequence alone", "direction", "padded", "packed")
    for field, name in zip(Run._fields, ("outputs at the tokens", "final h", "final c"), strict=True):
        for direction, side in enumerate(("forward", "backward")):
            gaps = [
                (getattr(runs[way], field) - getattr(alone, field))[:, direction].abs().max().item()
                for way in ("padded", "packed")
            ]
            table.add_row(name, side, *[_gap(gap) for gap in gaps])
    yield table
    shortest = min(range(len(lengths)), key=lambda row: lengths[row])
    table = Table(f"final h, length {lengths[shortest]}", "forward", "backward")
    for way, run in runs.items():
        table.add_row(way, *["  ".join(f"{x:+.3f}" for x in h.tolist()) for h in run.h[shortest]])
    yield table
    if len(set(lengths)) == 1:
        yield "All sequences have one length: nothing is padded, and both results are right."
    else:
        yield (
            "Padded, the backward direction starts in the padding and the forward direction ends in it: only the "
            "forward outputs are right. Packed, all results are those of each sequence alone."
        )


def _is_drawable(lengths: Sequence[int]) -> bool:
    return len(lengths) <= len(LETTERS) and max(lengths) <= MOST_STEPS


def _pack_numbers(lengths: Sequence[int]) -> PackedSequence:
    """Pack sequences in which each token is the number of its sequence."""
    return packed.pack(torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)), lengths)


def _append_row(text: Text, row: int, length: int, width: int) -> None:
    letter = LETTERS[row]
    text.append(f"{letter}: ")
    text.append(letter.ljust(width) * length, style=f"black on {COLORS[row % len(COLORS)]}")


def _join(values: Sequence[object]) -> str:
    return " ".join(map(str, values))


def _gap(gap: float) -> Text:
    return Text(f"{gap:.1e}", style="green" if gap < 1e-12 else "bold red")


# The picture


def draw(lengths: Sequence[int], path: Path) -> None:
    """Draw the padded batch, the packed batch and the packed data in memory to a PNG, SVG or PDF file.

    Raises:
        ValueError: There are too many sequences or steps for a readable picture.
    """
    if not _is_drawable(lengths):
        raise ValueError(
            f"{len(lengths)} sequences of up to {max(lengths)} tokens are too many to draw; "
            f"give at most {len(LETTERS)} of at most {MOST_STEPS}"
        )
    cost = count_steps(lengths)
    count, longest = len(lengths), max(lengths)
    pack = _pack_numbers(lengths)

    # The unit is a cell of the two grids, x to the right, y down. A line of text is as high as 1/20 of the width.
    middle = 1.375 * longest
    width = middle + longest
    line = (width + 1) / 20
    memory = count + 2.4 * line
    narrow = width / (cost.packed + 0.5 * (longest - 1))  # a cell in memory; half of one between two steps
    font = min(11.0, 12 / line)  # in points
    size = (10, 10 * 0.75 * (memory + 2.8 * line) / (width + 1))  # in inches; a cell is 3/4 as high as wide
    figure = Figure(figsize=size, dpi=150, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.5, width + 0.5), ylim=(memory + 1.7 * line, -1.1 * line))
    axes.axis("off")

    _title(axes, 0, -0.3 * line, f"Padded: {cost.padded} steps", f"{cost.padded - cost.packed} of them padding")
    for row, length in enumerate(lengths):
        for step in range(longest):
            _cell(axes, step, row, 1, 1, row if step < length else None, font)

    _title(axes, middle, -0.3 * line, f"Packed: {cost.packed} steps", "longest first, no padding")
    _title(axes, 0, memory - 0.3 * line, "Packed in memory", "one time step after the other")
    _label(axes, middle - 0.3, count + 0.5 * line, "batch_sizes", 11, align="right")
    left = 0.0
    for step, rows in enumerate(torch.split(pack.data, pack.batch_sizes.tolist())):
        for rank, row in enumerate(rows.tolist()):
            _cell(axes, middle + step, rank, 1, 1, row, font)
            _cell(axes, left + rank * narrow, memory, narrow, line, row, min(8.0, 1.6 * narrow * font))
        _label(axes, middle + step + 0.5, count + 0.5 * line, str(len(rows)), font, weight="bold")
        _label(axes, left + len(rows) * narrow / 2, memory + 1.3 * line, str(len(rows)), font, weight="bold")
        left += (len(rows) + 0.5) * narrow
    figure.savefig(path)


def _cell(axes: Axes, x: float, y: float, width: float, height: float, row: int | None, font: float) -> None:
    """Draw a token of a sequence, or a position of padding."""
    color, hatch = ("#f3f3f3", "////") if row is None else (COLORS[row % len(COLORS)], None)
    box = (x + 0.04 * width, y + 0.05 * height), 0.92 * width, 0.9 * height
    axes.add_patch(Rectangle(*box, facecolor=color, edgecolor="#d4d4d4", hatch=hatch, linewidth=0))
    if row is not None and font >= 3:
        _label(axes, x + width / 2, y + height / 2, LETTERS[row], font)


def _label(
    axes: Axes, x: float, y: float, text: str, font: float, weight: str = "normal", align: str = "center"
) -> None:
    axes.text(x, y, text, ha=align, va="center", weight=weight, size=font, color="#222222")


def _title(axes: Axes, x: float, y: float, text: str, remark: str) -> None:
    title = axes.text(x, y, text, weight="bold", size=14, color="#222222")
    axes.annotate(
        remark, (1, 0), (8, 1), xycoords=title, textcoords="offset points", va="bottom", size=11, color="#666666"
    )


# The command line


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> None:
    """Explain the worked examples and the given lengths."""
    parser = argparse.ArgumentParser(description="Compare padding with packing, in numbers and pictures.")
    parser.add_argument("lengths", nargs="*", type=_length, help="lengths of your own sequences")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the batches to a PNG, SVG or PDF file")
    options = parser.parse_args(arguments)
    if options.picture is not None:
        try:
            draw(options.lengths or STEPS_EXAMPLE, options.picture)
        except ValueError as error:
            parser.error(str(error))
    console = console or Console(highlight=False)
    chapters = {
        "Steps": explain_steps(STEPS_EXAMPLE),
        "Multiplications": explain_product(PRODUCT_EXAMPLE),
        "Order": explain_order(),
        "An LSTM's results": explain_lstm(STEPS_EXAMPLE),
    }
    if options.lengths:
        chapters |= {
            "Your lengths: steps": explain_steps(options.lengths),
            "Your lengths: multiplications": explain_product(options.lengths),
            "Your lengths: an LSTM's results": explain_lstm(options.lengths),
        }
    for title, chapter in chapters.items():
        console.rule(f"[bold]{title}")
        for part in chapter:
            console.print(part)


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a length is a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
