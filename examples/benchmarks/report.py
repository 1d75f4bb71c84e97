"""Writes RESULTS.md from the JSON files in results/.

    python examples/benchmarks/report.py

Each of those files was written by the script that its section names, with ``--json`` or ``--output``.
"""

import json
import statistics
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """A file of results."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def collate() -> str:
    """From Arrow to a packed batch."""
    found = load("collate")
    parts = [
        "## From Arrow to a packed batch\n\n`collate.py --large 2`: batches of 64 sequences, one thread; ours is "
        "`RaggedRows`, the default of `SequenceDataModule`. "
        f"Versions: {versions(found)}."
    ]
    for title in ("token ids with labels", "features (T, 80)"):
        rates = found[title]["tokens/s"]
        ours = rates["seqkit RaggedRows"][0]
        rows = [
            [name, f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ours / middle:.2f}"]
            for name, (middle, low, high) in rates.items()
        ]
        parts.append(table([title, "tokens/s, median", "quartiles", "ours is times"], rows))
    large = found["large"]
    parts.append(
        f"A GRU trained once on all {large['rows']:,} rows of {large['GB on disk']:.1f} GB on disk: the process's "
        f"own memory grew by {large['growth MB']:.0f} MB at most."
    )
    return "\n\n".join(parts)


def sampler() -> str:
    """The sampler beside others."""
    found = load("sampler")
    keys = ["build", "first", "epoch", "resume", "memory", "waste", "correlation"]
    head = ["one million rows", *["build s", "first batch s", "epoch s", "resume s", "memory MB", "waste"]]
    rows = []
    for name, row in found["results"].items():
        cells = [f"{row[key]:.3g}" if key in row else "" for key in keys]
        rounds = [one["epoch"] for one in found["rounds"][name]]
        cells[2] += f" ({min(rounds):.2f} to {max(rounds):.2f})"
        rows.append([name, *cells])
    large = [
        [name, *(f"{row[key]:.3g}" for key in ("build", "first", "resume", "memory"))]
        for name, row in found["large"].items()
    ]
    return "\n\n".join(
        [
            "## The sampler\n\n`sampler.py --large 10000000 100000000`: log-normal lengths, batches of 64 (or as "
            f"many tokens); {found['machine']}; {versions(found)}. The last column is the correlation of the mean "
            "lengths of adjacent batches. An epoch is all of it, iterated. No sampler that yields lists can take "
            "less than the last line; ours has its first batch at once.",
            table([*head, "correlation"], rows),
            table(["seqkit alone", "build s", "first batch s", "resume s", "memory MB"], large),
        ]
    )


def stream() -> str:
    """Streams beside the whole plan."""
    rows = [[n, f"{r['waste']:.1%}", f"{r['steps']:,}", f"{r['rows/s']:,.0f}"] for n, r in load("stream").items()]
    return "## Streams\n\n`stream.py`\n\n" + table(["", "waste", "steps", "rows/s"], rows)


def batches() -> str:
    """What bucketing is worth."""
    found = load("batches")["results"]
    rows = [
        [n, f"{r['steps']}", f"{r['waste']:.1%}", f"{r['torch, padded']:,.0f}", f"{r['seqkit, packed']:,.0f}"]
        for n, r in found.items()
    ]
    head = ["batches of EWT", "steps", "waste", "torch padded, tokens/s", "seqkit packed, tokens/s"]
    return (
        "## Batches of like length\n\n`batches.py`: forward and backward of one bidirectional LSTM(100, 200)\n\n"
        + table(head, rows)
    )


def curves() -> str:
    """Learning curves."""
    names = {"ewt": "EWT, UPOS", "vowels": "JapaneseVowels"}
    rows = []
    for task, contenders in load("learning_curves")["curves"].items():
        for name, seeds in contenders.items():
            finals = [curve["accuracy"][-1] for curve in seeds.values()]
            steps = statistics.mean(curve["steps"][-1] for curve in seeds.values())
            accuracy = f"{statistics.mean(finals):.2f} ± {statistics.stdev(finals):.2f}"
            rows.append([f"{names[task]}, {name}", str(len(finals)), f"{steps:.0f}", accuracy])
    return (
        "## Accuracy of planned batches\n\n`learning_curves.py`: validation accuracy (%) after equally many epochs "
        "and steps, mean and standard deviation over the seeds\n\n"
        + table(["batches", "seeds", "steps", "accuracy"], rows)
        + "\n\n![Learning curves](../../docs/learning_curves.png)"
    )


def pipeline() -> str:
    """Whole fits."""
    found = load("pipeline-speed")
    packed = statistics.median(found["results"]["packed"])
    rows = [
        [
            name,
            f"{statistics.median(v):,.0f}",
            f"{min(v):,.0f} to {max(v):,.0f}",
            f"{statistics.median(v) / packed:.2f}",
        ]
        for name, v in found["results"].items()
    ]
    return (
        f"## Whole fits\n\n`pipeline.py`: {found['what']}; {found['machine']}; {versions(found)}; backend "
        f"{found['backend']}\n\n" + table(["script", "tokens/s, median", "range", "times packed"], rows)
    )


def versions(found: dict[str, Any]) -> str:
    """Packages and their versions."""
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)


def main() -> None:
    """Writes the file."""
    head = (
        "# Measured\n\nTwo cores of an AMD EPYC (Zen 4, AVX-512) unless a section says otherwise; written by "
        "`report.py` from the JSON files in `results/`. Not measured on a GPU."
    )
    parts = [head, pipeline(), collate(), sampler(), batches(), curves(), stream()]
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
