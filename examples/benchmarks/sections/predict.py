"""The speed of predictions of raw rows."""

from sections.markdown import blocks, paragraph, table
from sections.results import load, measured_on

BARE = "bare model, packed batches"


def predict_table(results: dict[str, dict[str, float]]) -> str:
    """Return the table of predict.py: tokens a second, also relative to the bare model."""
    rows = [
        [f"{model}: {name}", f"{rate:,.0f}", f"{rate / rates[BARE]:.2f}"]
        for model, rates in results.items()
        for name, rate in rates.items()
    ]
    return table(["model: what", "tokens/s", "relative to the bare model"], rows)


def predict() -> str:
    """Return the table of predictions of raw rows."""
    found = load("predict")
    counted = f"{found['rows']:,} sentences of the dev and test splits of English-EWT; medians."
    return blocks(predict_table(found["results"]), paragraph(counted, measured_on(found)))
