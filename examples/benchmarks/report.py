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


def parts() -> str:
    """Where the time of a fit goes."""
    found = load("parts")
    whole, rate = sum(found["seconds"].values()), found["GFLOP/s"] * 1e9
    rows = []
    for name, seconds in found["seconds"].items():
        work = found["operations"].get(name)
        share = f"{work / seconds / rate:.0%}" if work else ""
        rows.append([name, f"{seconds:.2f}", f"{seconds / whole:.0%}", share])
    possible = found["tokens"] * rate / sum(found["operations"].values())
    return (
        "### Where the time of seqkit's fit goes\n\n"
        f"`parts.py`, one epoch: {found['tokens'] / whole:,.0f} tokens/s. A matrix product's rate, "
        f"{rate / 1e9:.0f} GFLOP/s, would allow {possible:,.0f} for the model's arithmetic; that is "
        f"{found['tokens'] / whole / possible:.0%} of it.\n\n"
        + table(["part", "seconds", "of the time", "of the product's rate"], rows)
    )


def engine() -> str:
    """Recurrent layers, cell by cell."""
    found = load("recurrent")
    names = [name for name in found["rows"][0]["share"] if name != "torch packed"]
    rows, means = [], []
    for row in found["rows"]:
        train, infer = row["train ms"], row["infer ms"]
        label = f"{row['cell']}-{row['directions']} {tuple(row['I, H, B'])} {row['lengths']}"
        cells = [f"{train['torch packed'] / train[n]:.2f} / {infer['torch packed'] / infer[n]:.2f}" for n in names]
        roof = f"{train['torch packed'] / train['roof']:.2f} / {infer['torch packed'] / infer['roof']:.2f}"
        memory = f"{row['peak MB']['native'] / row['peak MB']['torch packed']:.2f}"
        rows.append([label, f"{row['waste']:.0%}", *cells, roof, f"{row['share']['native']:.0%}", memory])
    for name in [*names, "roof"]:
        pair = []
        for what in ("train ms", "infer ms"):
            ratios = [row[what]["torch packed"] / row[what][name] for row in found["rows"]]
            pair.append(f"{statistics.geometric_mean(ratios):.2f}")
        means.append(" / ".join(pair))
    rows.append(["**geometric mean**", "", *means, "", ""])
    rates = [row["product GFLOP/s"] for row in found["rows"]]
    head = ["cell-directions (I, H, B) lengths", "waste", *names, "roof", "native: share", "native: memory"]
    return (
        "## Recurrent layers\n\n`recurrent.py`: how many times faster than `torch.nn` on packed data, training / "
        f"inference, {found['machine']['threads']} threads, float32. The roof is a layer that runs from end to end "
        f"at the rate of a plain matrix product, {min(rates):.0f} to {max(rates):.0f} GFLOP/s here. Share: of that "
        "rate, in training. Memory: the peak of a training step over that of `torch.nn` on packed data.\n\n"
        + table(head, rows)
    )


def crf() -> str:
    """The CRF beside pytorch-crf."""
    rows = []
    for tags, found in load("crf")["milliseconds"].items():
        for what in ("training", "decoding"):
            ours, theirs = found[what], found[f"{what} of pytorch-crf"]
            rows.append([f"C = {tags}, {what}", f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}"])
    return (
        "## Conditional random field\n\n`crf.py`: 64 sentences of EWT; likelihood and backward, and decoding\n\n"
        + table(["", "seqkit, ms", "pytorch-crf, ms", "times"], rows)
    )


QUALITY = {
    "ewt_upos": ["accuracy"],
    "wnut17_ner": ["span_f1"],
    "japanese_vowels": ["accuracy"],
    "cmapss_rul": ["rmse_last", "phm_score_last"],
    "shakespeare_char": ["loss"],
    "cmudict_g2p": ["label_error_rate", "sequence_error_rate"],
}


def quality() -> str:
    """The shipped configs."""
    rows = []
    for config, names in QUALITY.items():
        found = load(f"quality-{config}")
        for name in names:
            cells = []
            for split in ("val", "test"):
                values = found["scores"].get(f"{split}_{name}")
                spread = "" if values is None else f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"
                cells.append(spread)
            rows.append([config, name, *cells, str(len(found["seeds"])), f"{found['parameters']:,}"])
    return (
        "## Quality of the shipped configs\n\n`quality.py CONFIG --test`: mean and standard deviation over the "
        "seeds; no pre-trained vectors. Where there is no validation score the fit has all rows but the test's.\n\n"
        + table(["config", "score", "validation", "test", "seeds", "parameters"], rows)
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
    sections = [pipeline, parts, engine, crf, quality, collate, sampler, batches, curves, stream]
    (HERE / "RESULTS.md").write_text("\n\n".join([head, *(section() for section in sections)]) + "\n")


if __name__ == "__main__":
    main()
