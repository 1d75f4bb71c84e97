"""Quality, time and speed of the configs."""

import statistics
from typing import Any, NamedTuple

from sections.markdown import blocks, median_and_range, minutes, paragraph, spread, table
from sections.results import FOLDER, load, measured_alike


class Score(NamedTuple):
    """A score to show: its name, what it is, and how it is written."""

    name: str
    what: str
    decimals: int
    scale: float = 1
    unit: str = ""


def _percent(name: str, what: str, decimals: int = 1) -> Score:
    return Score(name, what, decimals, 100, " %")


SCORES = {
    "highlight": [_percent("val_accuracy", "validation accuracy, characters")],
    "ewt_upos": [_percent("test_accuracy", "test accuracy, parts of speech", 2)],
    "wnut17_ner": [_percent("test_span_f1", "test F1, named entities")],
    "japanese_vowels": [_percent("test_accuracy", "test accuracy")],
    "cmapss_rul": [
        Score("test_rmse_last", "test RMSE at the last cycle", 1),
        Score("test_phm_score_last", "test PHM score at the last cycle", 0),
    ],
    "shakespeare_char": [Score("test_loss", "test loss, nats a character", 3)],
    "cmudict_g2p": [
        _percent("test_label_error_rate", "test phone error rate", 2),
        _percent("test_sequence_error_rate", "test word error rate"),
    ],
}
ALL = {
    "highlight": ["accuracy"],
    "ewt_upos": ["accuracy"],
    "wnut17_ner": ["span_f1"],
    "japanese_vowels": ["accuracy"],
    "cmapss_rul": ["rmse_last", "phm_score_last"],
    "shakespeare_char": ["loss"],
    "cmudict_g2p": ["label_error_rate", "sequence_error_rate"],
}


def measured() -> dict[str, dict[str, Any]]:
    """Read the results of the configs, in the order of the table; a config may not be measured yet."""
    return {name: load(f"quality-{name}") for name in SCORES if (FOLDER / f"quality-{name}.json").exists()}


def quality() -> str:
    """Return the table of scores, parameters, times and speeds."""
    every = measured()
    rows = []
    for config, found in every.items():
        scores = found["scores"]
        times = [minutes(statistics.median(scores["fit_seconds"])), str(found["threads"])]
        times.append(f"{statistics.median(scores['tokens/s']):,.0f}")
        for number, score in enumerate(SCORES[config]):
            figure = spread(scores[score.name], score.decimals, score.scale) + score.unit
            rest = ["", "", "", ""] if number else [f"{found['parameters']:,}", *times]
            rows.append([f"`{config}`", score.what, figure, *rest])
    head = ["config", "what", "figure", "parameters", "one fit, min", "threads", "tokens/s"]
    return blocks(table(head, rows, texts=2), paragraph(measured_alike(every.items())))


def all_scores() -> str:
    """Return the table of both splits, with the range of the times."""
    every = measured()
    rows = []
    for config, found in every.items():
        scores = found["scores"]
        seconds = [value / 60 for value in scores["fit_seconds"]]
        times = [median_and_range(seconds, ".1f"), str(found["threads"]), median_and_range(scores["tokens/s"])]
        for number, name in enumerate(ALL[config]):
            cells = [_four_digits(scores.get(f"{split}_{name}")) for split in ("val", "test")]
            rest = ["", "", "", ""] if number else [f"{found['parameters']:,}", *times]
            rows.append([config, name, *cells, str(len(found["seeds"])), *rest])
    head = ["config", "score", "validation", "test", "seeds", "parameters", "one fit, min", "threads", "tokens/s"]
    return blocks(table(head, rows, texts=2), paragraph(measured_alike(every.items())))


def _four_digits(values: list[float] | None) -> str:
    if values is None:
        return ""
    return f"{statistics.mean(values):.4g}" + (f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else "")
