"""Whole fits: speed and accuracy of usual scripts and of seqkit, and the parts of a fit."""

import statistics

from sections.markdown import blocks, paragraph, spread, table
from sections.results import load, measured_alike, measured_on

NAMES = {
    "padded": "Lightning, random batches of 32, padded",
    "packed": "the same, packed around `nn.LSTM`",
    "padded, sorted pools": "padded, batches from pools sorted by length",
    "packed, sorted pools": "packed, batches from pools sorted by length",
    "seqkit": "**seqkit**",
}


def fits() -> str:
    """Return the table of speed and accuracy of each script."""
    speed, accuracy = load("pipeline-speed"), load("pipeline-accuracy")
    rates = {name: statistics.median(values) for name, values in speed["results"].items()}
    rows = []
    for name, title in NAMES.items():
        cells = [
            f"{rates[name]:,.0f}",
            f"{rates[name] / rates['packed']:.2f}",
            spread(accuracy["results"][name], 2),
        ]
        rows.append([title, *(f"**{cell}**" if name == "seqkit" else cell for cell in cells)])
    return blocks(
        table(["script", "tokens/s", "speed relative to packed", "accuracy (%)"], rows),
        paragraph(
            f"Speed: {speed['what']}; median. Accuracy: {accuracy['what']}; mean and standard deviation.",
            measured_alike([("speed", speed), ("accuracy", accuracy)]),
        ),
    )


def speed_table(results: dict[str, list[float]]) -> str:
    """Return the table of pipeline.py: tokens a second."""
    packed = statistics.median(results["packed"])
    rows = [
        [name, f"{median:,.0f}", f"{min(rates):,.0f} to {max(rates):,.0f}", f"{median / packed:.2f}"]
        for name, rates in results.items()
        for median in [statistics.median(rates)]
    ]
    return table(["script", "tokens/s, median", "range", "speed relative to packed"], rows)


def speed() -> str:
    """Return the table of speeds, with their range."""
    found = load("pipeline-speed")
    return blocks(speed_table(found["results"]), paragraph(f"{found['what'].capitalize()}.", measured_on(found)))


def parts() -> str:
    """Return the time of each part of a fit."""
    found = load("parts")
    whole, rate = sum(found["seconds"].values()), found["GFLOP/s"] * 1e9
    rows = []
    for name, seconds in found["seconds"].items():
        work = found["operations"].get(name)
        share = f"{work / seconds / rate:.0%}" if work else ""
        rows.append([name, f"{seconds:.2f}", f"{seconds / whole:.0%}", share])
    possible = found["tokens"] * rate / sum(found["operations"].values())
    return blocks(
        table(["part", "seconds", "share of the time", "share of the product's speed"], rows),
        paragraph(
            f"One epoch of seqkit: {found['tokens'] / whole:,.0f} tokens/s. If all arithmetic ran at the speed of "
            f"a plain matrix product, {rate / 1e9:.0f} GFLOP/s, it would be {possible:,.0f} tokens/s; the fit "
            f"reaches {found['tokens'] / whole / possible:.0%} of that.",
            measured_on(found),
        ),
    )
