"""The pictures of docs, drawn from the results."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from sections.results import load

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

TITLES = {"ewt": "UPOS tagging, English-EWT", "vowels": "Speaker classification, JapaneseVowels"}


def batches(found: Mapping[str, Any]) -> Figure:
    """Draw the padding of each kind of batches, and the speed of a padded and of a packed layer on them."""
    results = found["results"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), gridspec_kw={"width_ratios": [2, 3]})
    bars = left.bar(list(results), [100 * row["waste"] for row in results.values()], color="tab:gray", width=0.6)
    left.bar_label(bars, fmt="%.0f %%")
    left.set(title="padding that a batch would need", ylabel="% of all time steps")
    position = np.arange(len(results))
    for shift, name, color in ((-0.2, "torch, padded", "tab:orange"), (0.2, "seqkit, packed", "tab:blue")):
        rates = [row[name] / 1000 for row in results.values()]
        right.bar_label(right.bar(position + shift, rates, 0.38, label=name, color=color), fmt="%.0f")
    right.set(title="training of the layer alone, on a CPU", ylabel="thousand tokens/s")
    right.set_xticks(position, list(results))
    right.legend(loc="upper center", ncols=2, frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.25)
    return figure


def learning_curves(found: Mapping[str, Any]) -> Figure:
    """Draw the mean over the seeds, with a band of one standard error, one panel for each task."""
    every = found["curves"]
    figure, axes = plt.subplots(1, len(every), figsize=(5.2 * len(every), 3.6), squeeze=False)
    for axis, (task, curves) in zip(axes[0], every.items(), strict=True):
        for contender, seeds in curves.items():
            accuracy = np.array([curve["accuracy"] for curve in seeds.values()])
            steps = np.mean([curve["steps"] for curve in seeds.values()], 0)
            mean, error = accuracy.mean(0), accuracy.std(0) / np.sqrt(len(accuracy))
            (line,) = axis.plot(steps, mean, label=contender, marker="." if len(steps) < 20 else None)
            axis.fill_between(steps, mean - error, mean + error, alpha=0.2, color=line.get_color(), linewidth=0)
        axis.set(title=TITLES[task], xlabel="steps", ylabel="validation accuracy (%)")
        finals = [curve["accuracy"][-1] for seeds in curves.values() for curve in seeds.values()]
        starts = [curve["accuracy"][0] for seeds in curves.values() for curve in seeds.values()]
        axis.set_ylim(bottom=max(np.median(starts), min(finals) - 12))
        axis.grid(alpha=0.3)
        axis.legend(title=f"batches (mean of {len(next(iter(curves.values())))} seeds)")
    return figure


PICTURES: dict[str, Callable[[Mapping[str, Any]], Figure]] = {
    "batches": batches,
    "learning_curves": learning_curves,
}


def fingerprint(name: str) -> str:
    """Return a digest of a file of results."""
    return hashlib.sha256(json.dumps(load(name), sort_keys=True).encode()).hexdigest()


def draw(name: str, picture: Path) -> None:
    """Draw a picture of results, with their fingerprint in its text."""
    figure = PICTURES[name](load(name))
    figure.tight_layout()
    figure.savefig(picture, dpi=150, metadata={"Description": fingerprint(name)})
    plt.close(figure)


def is_current(name: str, picture: Path) -> bool:
    """Whether a picture was drawn from these results."""
    with Image.open(picture) as image:
        return image.info.get("Description") == fingerprint(name)
