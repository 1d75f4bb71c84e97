"""``python -m seqkit inspect``: print and draw the lengths of a config's data and the padding bucketing saves."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from seqkit.data.lightning import SequenceDataModule
from seqkit.figures import new_figure
from seqkit.files import atomic_write, check_not_read

QUANTILES = (0, 25, 50, 75, 95, 100)
_FORMATS = {"waste": ".1%", "correlation": ".3f", "cost": ".3f"}
_BLUE, _GREY = "#2563a8", "#b9c2cc"


def inspect(data: SequenceDataModule, picture: Path) -> dict[str, Any]:
    """Print and draw the lengths of all splits, and compare the training plan with other ways to make batches.

    Args:
        data: The data module.
        picture: The image file to draw; its suffix is the format.

    Returns:
        The training plan's report, see :meth:`seqkit.data.LengthBucketSampler.report`.

    Raises:
        ValueError: The picture would overwrite a file of the data.
    """
    check_not_read(picture, data.source)
    console = Console()
    # Only the training split needs targets: others may have none, or labels that training lacks.
    lengths = {split: data.rows(split, with_targets=split == "train").lengths for split in data.splits}
    console.print(_splits_table(lengths))
    report = data.sampler(data.rows("train", training=True), training=True).report()
    plans = {"seqkit": report, **report["alternatives"]}
    console.print(_plans_table(report, plans))
    for reason, count in report["dropped"].items():
        if count:
            console.print(f"{count} training rows are dropped: {reason}")
    _draw(lengths["train"], report["buckets"], plans, picture)
    console.print(f"drawn: {picture}")
    return report


def _splits_table(lengths: dict[str, npt.NDArray[np.int64]]) -> Table:
    table = Table(title="Splits")
    table.add_column("split")
    for name in ("rows", "tokens", *(f"{quantile} %" for quantile in QUANTILES)):
        table.add_column(name, justify="right")
    for split, values in lengths.items():
        quantiles = np.percentile(values, QUANTILES, method="lower") if len(values) else np.zeros(len(QUANTILES))
        table.add_row(split, f"{len(values):,}", f"{values.sum():,}", *(f"{int(q):,}" for q in quantiles))
    table.caption = "columns with % are quantiles of the length, in tokens"
    return table


def _plans_table(report: dict[str, Any], plans: dict[str, dict[str, Any]]) -> Table:
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
        f"successive batches, 0 is a perfect shuffle"
    )
    return table


def _draw(
    lengths: npt.NDArray[np.int64], buckets: list[dict[str, Any]], plans: dict[str, dict[str, Any]], picture: Path
) -> None:
    figure = new_figure(10, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    longest = int(lengths.max(initial=1))
    width = -(-longest // 100)  # a whole number, so that every bar counts the same number of lengths
    left.hist(lengths, bins=[*np.arange(0.5, longest + width, width)], color=_BLUE)
    for bucket in buckets:
        left.axvline(bucket["longest"] + 0.5, color=_GREY, linewidth=0.8, zorder=0)
    left.set_title("Lengths of the training rows; lines: ends of the buckets", fontsize=10, loc="left")
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
