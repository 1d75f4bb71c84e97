"""From disk to a packed batch, the sampler and streams; and one figure of each part."""

from sections.layers import TIMES, gain
from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on

TITLES = ("token ids with labels", "features (T, 80)")
USUAL, TENSORS, OURS = "rows, tensors, pack_sequence", 'with_format("torch"), pack_sequence', "seqkit RaggedRows"


def rates_table(title: str, rates: dict[str, list[float]]) -> str:
    """Return the table of collate.py: median, first and third quartile of the tokens a second."""
    ours = rates[OURS][0]
    rows = [
        [name, f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{ours / middle:.2f}"]
        for name, (middle, low, high) in rates.items()
    ]
    return table([title, "tokens/s, median", "quartiles", "`RaggedRows` is times as fast"], rows)


def collate() -> str:
    """Return the tables of the way from Arrow to a packed batch."""
    found = load("collate")
    parts = [rates_table(title, found[title]["tokens/s"]) for title in TITLES]
    large = found["large"]
    growth = (
        f"While a GRU trained once on all {large['rows']:,} rows of {large['GB on disk']:.1f} GB on disk, the "
        f"process's own memory grew by at most {large['growth MB']:.0f} MB."
    )
    return blocks(*parts, paragraph(growth, measured_on(found)))


def sampler() -> str:
    """Return the tables of samplers."""
    found = load("sampler")
    keys = ["build", "first", "epoch", "resume", "memory", "waste", "correlation"]
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
    head = ["build s", "first batch s", "epoch s", "resume s", "memory MB", "waste", "correlation"]
    return blocks(
        table([f"{found['rows']:,} rows" if "rows" in found else "one million rows", *head], rows),
        table(["seqkit only", "build s", "first batch s", "resume s", "memory MB"], large),
        paragraph(measured_on(found)),
    )


def shuffle() -> str:
    """Return waste and shuffle quality of the samplers."""
    found = load("sampler")
    rows = [
        [name, f"{row['waste']:.1%}", f"{round(row['correlation'], 2) + 0:.2f}"]  # + 0: not -0.00
        for name, row in found["results"].items()
        if not name.startswith("a ready order")
    ]
    what = (
        f"{found['rows']:,} rows with log-normal lengths; batches of 64 sequences, or of at most as many tokens as "
        "64 sequences have on average."
    )
    return blocks(table(["batches", "waste", "correlation"], rows), paragraph(what, measured_on(found)))


def stream_table(results: dict[str, dict[str, float]]) -> str:
    """Return the table of stream.py: waste, steps and rows a second."""
    rows = [[n, f"{r['waste']:.1%}", f"{r['steps']:,}", f"{r['rows/s']:,.0f}"] for n, r in results.items()]
    return table(["", "waste", "steps", "rows/s"], rows)


def stream() -> str:
    """Return the table of streams."""
    found = load("stream")
    return blocks(stream_table(found["results"]), paragraph(measured_on(found)))


def single_parts() -> str:
    """Return one figure of each part."""
    layers, crf, rows = load("recurrent"), load("crf")["milliseconds"]["17"], load("collate")
    ids, features = (rows[title]["tokens/s"] for title in TITLES)
    ten_million = load("sampler")["large"]["10,000,000 rows"]
    streams = load("stream")["results"]
    train, infer = (gain(layers, "native", what) for what in TIMES)
    decided = crf["training of pytorch-crf"] / crf["training"]
    usual, tensors = ids[OURS][0] / ids[USUAL][0], features[OURS][0] / features[TENSORS][0]
    pool, planned = (streams[n]["waste"] for n in ("stream, pool of 50 batches", "planned, whole dataset"))
    lines = [
        (
            "recurrent layers, training",
            f"{train:.1f} times as fast as torch on the same packed batches",
            "recurrent",
        ),
        ("recurrent layers, inference", f"{infer:.1f} times as fast", "recurrent"),
        ("CRF with 17 tags, training", f"{decided:.1f} times as fast as pytorch-crf, which pads", "crf"),
        ("rows on disk to a packed batch, token ids", f"{usual:.0f} times as fast as `pack_sequence`", "collate"),
        (
            "rows on disk to a packed batch, features (T, 80)",
            f'{tensors:.0f} times as fast as `with_format("torch")` and `pack_sequence`',
            "collate",
        ),
        (
            "the sampler, ten million rows",
            f"planned in {ten_million['build']:.1f} s, resumed in {ten_million['resume']:.2f} s",
            "sampler",
        ),
        ("a stream with pools of 50 batches", f"{pool:.1%} waste; {planned:.1%} with a plan of all rows", "stream"),
    ]
    return table(["what", "figure", "command"], [[*line[:2], f"`{line[2]}.py`"] for line in lines], texts=3)
