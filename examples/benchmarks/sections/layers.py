"""Recurrent layers and the conditional random field."""

import statistics
from typing import Any

from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on

TIMES = ("train ms", "infer ms")


def gain(found: dict[str, Any], name: str, what: str) -> float:
    """Return how many times as fast as torch on packed data: the geometric mean over all layers."""
    return statistics.geometric_mean(row[what]["torch packed"] / row[what][name] for row in found["rows"])


def memory(row: dict[str, Any]) -> float:
    """Return the peak memory of a training step, relative to torch on packed data."""
    return row["peak MB"]["native"] / row["peak MB"]["torch packed"]


def recurrent() -> str:
    """Return the speed and the memory of the recurrent layers, in words."""
    found = load("recurrent")
    native, plain = ([gain(found, name, what) for what in TIMES] for name in ("native", "closed_form"))
    return paragraph(
        f"Over a grid of {len(found['rows'])} LSTM and GRU layers, compared with stock torch on the same packed "
        f"batches: training is {native[0]:.1f} times as fast (geometric mean), inference {native[1]:.1f} times, "
        f"and a training step needs at most {max(map(memory, found['rows'])):.2f} of the memory. Without a "
        f"compiler it is {plain[0]:.1f} and {plain[1]:.1f} times.",
        measured_on(found),
    )


def torch_packed() -> str:
    """Return how torch's packed layers compare with its padded ones and with a matrix product, in words."""
    found = load("recurrent")
    rows = [row for row in found["rows"] if row["lengths"] == "bucketed" and row["cell"] == "LSTM"]
    slower = [row["train ms"]["torch packed"] / row["train ms"]["torch padded"] for row in rows]
    shares = [row["share"]["torch packed"] for row in rows]
    return paragraph(
        f"On batches of similar lengths, training a packed LSTM of torch takes "
        f"{statistics.geometric_mean(slower):.1f} times as long as training it on the same sequences padded "
        f"(geometric mean of {len(rows)} layers; {min(slower):.1f} to {max(slower):.1f}). It reaches "
        f"{min(shares):.0%} to {max(shares):.0%} of the speed of a plain matrix product.",
        measured_on(found),
    )


def recurrent_table() -> str:
    """Return the table of all layers."""
    found = load("recurrent")
    names = [name for name in found["rows"][0]["share"] if name != "torch packed"]
    rows = []
    for row in found["rows"]:
        label = f"{row['cell']}-{row['directions']} {tuple(row['I, H, B'])} {row['lengths']}"
        train, infer = (row[what] for what in TIMES)
        cells = [
            f"{train['torch packed'] / train[name]:.2f} / {infer['torch packed'] / infer[name]:.2f}"
            for name in [*names, "roof"]
        ]
        rows.append([label, f"{row['waste']:.0%}", *cells, f"{row['share']['native']:.0%}", f"{memory(row):.2f}"])
    means = [" / ".join(f"{gain(found, name, what):.2f}" for what in TIMES) for name in [*names, "roof"]]
    rows.append(["**geometric mean**", "", *means, "", ""])
    rates = [row["product GFLOP/s"] for row in found["rows"]]
    head = ["cell-directions (I, H, B) lengths", "waste", *names, "roof", "native: share", "native: memory"]
    return blocks(
        table(head, rows),
        paragraph(f"The matrix product ran at {min(rates):.0f} to {max(rates):.0f} GFLOP/s.", measured_on(found)),
    )


def crf() -> str:
    """Return the table of the CRF."""
    found = load("crf")
    rows = []
    for tags, times in found["milliseconds"].items():
        for what in ("training", "decoding"):
            ours, theirs = times[what], times[f"{what} of pytorch-crf"]
            rows.append([f"C = {tags}, {what}", f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}"])
    return blocks(
        table(["", "seqkit, ms", "pytorch-crf, ms", "times as fast"], rows), paragraph(measured_on(found))
    )
