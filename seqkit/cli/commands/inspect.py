"""``python -m seqkit inspect``: print and draw the lengths of a config's data and the padding bucketing saves."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from seqkit.data.lightning import SequenceDataModule
from seqkit.data.lightning.columns import row_lengths, unaligned_inputs
from seqkit.data.unseen import UnseenLabel
from seqkit.figures import new_figure
from seqkit.files import atomic_write, check_not_read

Ints = npt.NDArray[np.int64]

QUANTILES = (0, 25, 50, 75, 95, 100)
_MOST_LABELS = 20
_FORMATS = {"waste": ".1%", "correlation": ".3f", "cost": ".3f"}
_BLUE, _GREY = "#2563a8", "#b9c2cc"


def inspect(data: SequenceDataModule, picture: Path) -> dict[str, Any]:
    """Print and draw the lengths of all splits, and compare the training plan with other ways to make batches.

    The labels of other splits that training lacks are printed, too.

    Args:
        data: The data module.
        picture: The image file to draw; its suffix is the format.

    Returns:
        The training plan's report, see :meth:`seqkit.data.LengthBucketSampler.report`.

    Raises:
        ValueError: The picture would overwrite a file of the data.
    """
    check_not_read(picture, data.source)
    console = Console(markup=False, emoji=False)  # names of columns and labels literally
    # Only the training split needs targets: others may have none, or labels that training lacks.
    rows = {split: data.rows(split, with_targets=split == "train") for split in data.splits}
    lengths = {split: row_lengths(each, data.spec) for split, each in rows.items()}
    inputs = [next(iter(data.spec["inputs"])), *unaligned_inputs(data.spec)]
    console.print(_splits_table(lengths, inputs))
    unseen = {split: data.unseen(split) for split in data.splits if split != "train"}
    if any(unseen.values()):
        console.print(_unseen_table(unseen))
    of_pair = f"the longest of {', '.join(inputs)}" if len(inputs) > 1 else ""
    report = data.sampler(data.rows("train", training=True), training=True).report()
    plans = {"seqkit": report, **report["alternatives"]}
    console.print(_plans_table(report, plans, of_pair))
    for reason, count in report["dropped"].items():
        if count:
            console.print(f"{count} training rows are dropped: {reason}")
    _draw(lengths["train"].max(1), of_pair, report["buckets"], plans, picture)
    console.print(f"drawn: {picture}")
    return report


def _splits_table(lengths: dict[str, Ints], inputs: list[str]) -> Table:
    """Create the table of the lengths (rows, inputs) of each split, with a row for each input."""
    table = Table(title="Splits")
    for name in ("split", *(["input"] if len(inputs) > 1 else [])):
        table.add_column(name)
    for name in ("rows", "tokens", *(f"{quantile} %" for quantile in QUANTILES)):
        table.add_column(name, justify="right")
    for split, counts in lengths.items():
        for name, values in zip(inputs, counts.T, strict=True):
            quantiles = (
                np.percentile(values, QUANTILES, method="lower") if len(values) else np.zeros(len(QUANTILES))
            )
            which = [split, *([name] if len(inputs) > 1 else [])]
            table.add_row(*which, f"{len(values):,}", f"{values.sum():,}", *(f"{int(q):,}" for q in quantiles))
    table.caption = "columns with % are quantiles of the length, in tokens"
    return table


def _unseen_table(unseen: dict[str, dict[str, list[UnseenLabel]]]) -> Table:
    """Create the table of the labels that training lacks, the most frequent first."""
    table = Table(title="Labels that the training split lacks")
    for name in ("split", "column", "label"):
        table.add_column(name, overflow="fold")
    table.add_column("count", justify="right")
    found = [
        (split, column, label)
        for split, columns in unseen.items()
        for column, labels in columns.items()
        for label in labels
    ]
    found.sort(key=lambda each: -each[2].occurrences)
    for split, column, label in found[:_MOST_LABELS]:
        table.add_row(split, column, label.name, f"{label.occurrences:,}")
    more = f"; {len(found) - _MOST_LABELS:,} more" if len(found) > _MOST_LABELS else ""
    table.caption = f"data.unseen_labels says what becomes of them{more}"
    return table


def _plans_table(report: dict[str, Any], plans: dict[str, dict[str, Any]], of_pair: str) -> Table:
    table = Table(title="Batches of the training split")
    table.add_column("")
    for name in ("waste", "correlation", "cost a token"):
        table.add_column(name, justify="right")
    for name, plan in plans.items():
        table.add_row(name, *(f"{plan[key]:{form}}" for key, form in _FORMATS.items()))
    table.caption = (
        f"{report['steps']:,} steps an epoch, {report['tokens_per_step']:,.0f} tokens and "
        f"{report['sequences_per_step']:,.1f} sequences a step, "
        f"{len(report['buckets'])} buckets; waste: share of padding if padded; correlation: of the mean lengths of "
        f"successive batches, 0 is a perfect shuffle{f'; the length of a row: {of_pair}' if of_pair else ''}"
    )
    return table


def _draw(
    lengths: Ints,
    of_pair: str,
    buckets: list[dict[str, Any]],
    plans: dict[str, dict[str, Any]],
    picture: Path,
) -> None:
    figure = new_figure(10, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    longest = int(lengths.max(initial=1))
    width = -(-longest // 100)  # a whole number, so that every bar counts the same number of lengths
    left.hist(lengths, bins=[*np.arange(0.5, longest + width, width)], color=_BLUE)
    for bucket in buckets:
        left.axvline(bucket["longest"] + 0.5, color=_GREY, linewidth=0.8, zorder=0)
    title = f"Lengths of the training rows{f' ({of_pair})' if of_pair else ''}; lines: ends of the buckets"
    left.set_title(title, fontsize=10, loc="left")
    left.set_xlabel("tokens")
    left.set_ylabel("rows")
    waste = {name: plan["waste"] for name, plan in plans.items()}
    bars = right.barh(list(waste), list(waste.values()), color=[_BLUE] + [_GREY] * (len(waste) - 1))
    right.bar_label(bars, [f"{value:.1%}" for value in waste.values()], padding=3, fontsize=9)
    right.invert_yaxis()
    right.margins(x=0.2)
    right.set_title("Waste: share of padding if padded", fontsize=10, loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(picture) as temporary:
        figure.savefig(temporary, dpi=120)
