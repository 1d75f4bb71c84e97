"""What the data of a config is made of, and what bucketing it saves: printed, and drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from seqkit.data.lightning.datamodule import SequenceDataModule
from seqkit.figures import new_figure
from seqkit.files import atomic_write

QUANTILES = (0, 25, 50, 75, 95, 100)
_FORMS = {"waste": ".1%", "correlation": ".3f", "cost": ".3f"}
_BLUE, _GREY = "#2563a8", "#b9c2cc"


def inspect(data: SequenceDataModule, picture: Path) -> dict[str, Any]:
    """Print rows, tokens, length quantiles and the training plan against other ways to batch, and draw them.

    Args:
        data: The data module of a config.
        picture: The file to draw; its ending says the format, such as ``.png``.

    Returns:
        The training plan's report, see :meth:`seqkit.data.LengthBucketSampler.report`.
    """
    console = Console()
    lengths = {split: data.rows(split).lengths for split in data.splits}
    console.print(_splits_table(lengths))
    report = data.sampler(data.rows("train", training=True), training=True).report()
    console.print(_plan_table(report))
    for reason, count in report["dropped"].items():
        if count:
            console.print(f"{count} training rows are dropped: {reason}")
    _draw(lengths["train"], report, picture)
    console.print(f"drawn: {picture}")
    return report


def _splits_table(lengths: dict[str, npt.NDArray[np.int64]]) -> Table:
    table = Table(title="Splits")
    table.add_column("split")
    for name in ("rows", "tokens", *(f"{quantile} %" for quantile in QUANTILES)):
        table.add_column(name, justify="right")
    for split, of in lengths.items():
        quantiles = np.percentile(of, QUANTILES, method="lower") if len(of) else np.zeros(len(QUANTILES))
        table.add_row(split, f"{len(of):,}", f"{of.sum():,}", *(f"{int(q):,}" for q in quantiles))
    table.caption = "columns with % are quantiles of the length, in tokens"
    return table


def _plan_table(report: dict[str, Any]) -> Table:
    table = Table(title="Batches of the training split")
    table.add_column("")
    for name in ("waste", "correlation", "cost a token"):
        table.add_column(name, justify="right")
    for name, plan in _plans(report).items():
        cells = [f"{plan[key]:{form}}" if key in plan else "" for key, form in _FORMS.items()]
        table.add_row(name, *cells)
    table.caption = (
        f"{report['steps']:,} steps an epoch, {report['tokens_per_step']:,.0f} tokens and "
        f"{report['sequences_per_step']:,.1f} sequences a step, "
        f"{len(report['buckets'])} buckets; waste: share of padding if padded; correlation: of the mean lengths of "
        f"successive batches, 0 is a perfect shuffle"
    )
    return table


def _plans(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"seqkit": report, **report["alternatives"]}


def _draw(lengths: npt.NDArray[np.int64], report: dict[str, Any], picture: Path) -> None:
    figure = new_figure(10, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    longest = int(lengths.max(initial=1))
    width = -(-longest // 100)  # whole tokens, or some bars would hold more lengths than others
    left.hist(lengths, bins=[*np.arange(0.5, longest + width, width)], color=_BLUE)
    for bucket in report["buckets"]:
        left.axvline(bucket["longest"] + 0.5, color=_GREY, linewidth=0.8, zorder=0)
    left.set_title("Lengths of the training rows; lines: ends of the buckets", fontsize=10, loc="left")
    left.set_xlabel("tokens")
    left.set_ylabel("rows")
    plans = {name: plan for name, plan in _plans(report).items() if "waste" in plan}
    bars = right.barh(
        list(plans), [plan["waste"] for plan in plans.values()], color=[_BLUE] + [_GREY] * (len(plans) - 1)
    )
    right.bar_label(bars, [f"{plan['waste']:.1%}" for plan in plans.values()], padding=3, fontsize=9)
    right.invert_yaxis()
    right.margins(x=0.2)
    right.set_title("Waste: share of padding if padded", fontsize=10, loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(picture) as whole:
        figure.savefig(whole, dpi=120)
