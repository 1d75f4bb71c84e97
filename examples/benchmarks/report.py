"""Write RESULTS.md from the JSON files in results/.

    python examples/benchmarks/report.py

Each of those files is the ``--output`` of the script that its section names.
"""

import json
import statistics
from pathlib import Path
from typing import Any

from measuring import table

HERE = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """Read a file of results."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def rates_table(title: str, rates: dict[str, list[float]]) -> str:
    """Return the table of collate.py: median, first and third quartile of the tokens a second."""
    ours = rates["seqkit RaggedRows"][0]
    rows = [
        [name, f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ours / middle:.2f}"]
        for name, (middle, low, high) in rates.items()
    ]
    return table([title, "tokens/s, median", "quartiles", "`RaggedRows` is times as fast"], rows)


def speed_table(results: dict[str, list[float]]) -> str:
    """Return the table of pipeline.py: tokens a second."""
    packed = statistics.median(results["packed"])
    rows = [
        [name, f"{median:,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}", f"{median / packed:.2f}"]
        for name, rates in results.items()
        for median in [statistics.median(rates)]
    ]
    return table(["script", "tokens/s, median", "range", "speed relative to packed"], rows)


def stream_table(results: dict[str, dict[str, float]]) -> str:
    """Return the table of stream.py: waste, steps and rows a second."""
    rows = [[n, f"{r['waste']:.1%}", f"{r['steps']:,}", f"{r['rows/s']:,.0f}"] for n, r in results.items()]
    return table(["", "waste", "steps", "rows/s"], rows)


def collate() -> str:
    """Return the section on the way from Arrow to a packed batch."""
    found = load("collate")
    parts = [
        "## From Arrow to a packed batch\n\n`collate.py --large 2`: batches of 64 sequences, one thread. "
        f"`RaggedRows` is the default of `SequenceDataModule`. Versions: {versions(found)}."
    ]
    parts += [
        rates_table(title, found[title]["tokens/s"]) for title in ("token ids with labels", "features (T, 80)")
    ]
    large = found["large"]
    parts.append(
        f"While a GRU trained once on all {large['rows']:,} rows of {large['GB on disk']:.1f} GB on disk, the "
        f"process's own memory grew by at most {large['growth MB']:.0f} MB."
    )
    return "\n\n".join(parts)


def sampler() -> str:
    """Return the section on samplers."""
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
            f'many tokens); {found["machine"]}; {versions(found)}. "epoch" is the time to iterate over a whole '
            "epoch. The last column is the correlation of the mean lengths of successive batches. The last row is "
            "a lower bound for every sampler that yields lists.",
            table([*head, "correlation"], rows),
            table(["seqkit only", "build s", "first batch s", "resume s", "memory MB"], large),
        ]
    )


def stream() -> str:
    """Return the section on streams."""
    return f"## Streams\n\n`stream.py`\n\n{stream_table(load('stream')['results'])}"


def batches() -> str:
    """Return the section on batches of similar lengths."""
    found = load("batches")["results"]
    rows = [
        [n, f"{r['steps']}", f"{r['waste']:.1%}", f"{r['torch, padded']:,.0f}", f"{r['seqkit, packed']:,.0f}"]
        for n, r in found.items()
    ]
    head = ["batches of EWT", "steps", "waste", "torch padded, tokens/s", "seqkit packed, tokens/s"]
    return (
        "## Batches of similar lengths\n\n`batches.py`: forward and backward, one bidirectional LSTM(100, 200)\n\n"
        + table(head, rows)
    )


def curves() -> str:
    """Return the section on learning curves."""
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
    """Return the section on whole fits."""
    found = load("pipeline-speed")
    return (
        f"## Whole fits\n\n`pipeline.py`: {found['what']}; {found['machine']}, {found['threads']} threads; "
        f"{versions(found)}; backend {found['backend']}\n\n{speed_table(found['results'])}"
    )


def parts() -> str:
    """Return the section on the parts of a fit."""
    found = load("parts")
    whole, rate = sum(found["seconds"].values()), found["GFLOP/s"] * 1e9
    rows = []
    for name, seconds in found["seconds"].items():
        work = found["operations"].get(name)
        share = f"{work / seconds / rate:.0%}" if work else ""
        rows.append([name, f"{seconds:.2f}", f"{seconds / whole:.0%}", share])
    possible = found["tokens"] * rate / sum(found["operations"].values())
    return (
        "### The time of each part of a fit\n\n"
        f"`parts.py`, one epoch of seqkit: {found['tokens'] / whole:,.0f} tokens/s. If all arithmetic ran at the "
        f"speed of a plain matrix product, {rate / 1e9:.0f} GFLOP/s, it would be {possible:,.0f} tokens/s; the fit "
        f"reaches {found['tokens'] / whole / possible:.0%} of that.\n\n"
        + table(["part", "seconds", "share of the time", "share of the product's speed"], rows)
    )


def engine() -> str:
    """Return the section on recurrent layers."""
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
        f'inference, {found["threads"]} threads, float32. "roof" is a layer that runs throughout at the speed of a '
        f'plain matrix product, {min(rates):.0f} to {max(rates):.0f} GFLOP/s here; "share" is relative to that '
        'speed, in training. "memory" is the peak of a training step, relative to `torch.nn` on packed data.\n\n'
        + table(head, rows)
    )


def crf() -> str:
    """Return the section on the CRF."""
    rows = []
    for tags, found in load("crf")["milliseconds"].items():
        for what in ("training", "decoding"):
            ours, theirs = found[what], found[f"{what} of pytorch-crf"]
            rows.append([f"C = {tags}, {what}", f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}"])
    return (
        "## Conditional random field\n\n`crf.py`: 64 sentences of EWT; likelihood and backward, and decoding\n\n"
        + table(["", "seqkit, ms", "pytorch-crf, ms", "times as fast"], rows)
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
    """Return the section on the configs."""
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
        "## Quality of the configs\n\n`python -m seqkit sweep --test`: mean and standard deviation over the seeds; "
        "no pre-trained vectors. Without a validation score, the fit used all rows but those of the test split.\n\n"
        + table(["config", "score", "validation", "test", "seeds", "parameters"], rows)
    )


def versions(found: dict[str, Any]) -> str:
    """List packages and their versions."""
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items() if version)


def page() -> str:
    """Return the text of RESULTS.md."""
    head = (
        "# Results\n\nTwo cores of an AMD EPYC (Zen 4, AVX-512), unless a section says otherwise. GPUs were not "
        "measured. `report.py` writes this page from the JSON files in `results/`."
    )
    sections = [pipeline, parts, engine, crf, quality, collate, sampler, batches, curves, stream]
    return "\n\n".join([head, *(section() for section in sections)]) + "\n"


if __name__ == "__main__":
    (HERE / "RESULTS.md").write_text(page())
