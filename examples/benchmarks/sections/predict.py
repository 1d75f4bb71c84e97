"""The table of predictions of raw rows."""

from sections.markdown import table

BARE = "bare model, packed batches"


def predict_table(results: dict[str, dict[str, float]]) -> str:
    """Return the table of predict.py: tokens a second, also relative to the bare model."""
    rows = [
        [f"{model}: {name}", f"{rate:,.0f}", f"{rate / rates[BARE]:.2f}"]
        for model, rates in results.items()
        for name, rate in rates.items()
    ]
    return table(["", "tokens/s", "relative to the bare model"], rows)
