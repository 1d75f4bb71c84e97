"""The model card: what a model does, what it was trained on, its scores and how to use it."""

import pprint
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypedDict

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch import nn

import seqkit
from seqkit.class_paths import LIBRARIES, public_path
from seqkit.data.encoders import Spec, source_columns

_MOST_LABELS = 300
_TEXT = ("Characters", "TokenizerFile")
_WORDS = ("Words", "ShapedWords", "WordCharacters", "WordShapes")


class CardOptions(TypedDict, total=False):
    """What the model itself does not know; see :func:`model_card`."""

    metrics: Mapping[str, Any] | None
    data: str | None
    license: str | None
    language: str | list[str] | None


class _Kind(NamedTuple):
    """What a task does, and what the Hub calls it."""

    summary: str
    tag: str | None


_KINDS = {
    "seqkit.Tagger": _Kind("predicts labels for each token", "token-classification"),
    "seqkit.Classifier": _Kind("predicts labels for each sequence", "text-classification"),
    "seqkit.Regressor": _Kind("predicts values", None),
    "seqkit.Forecaster": _Kind("predicts the next steps of a series", "time-series-forecasting"),
    "seqkit.LanguageModel": _Kind("predicts each token from the tokens before it", "text-generation"),
    "seqkit.CTCRecognizer": _Kind("transcribes sequences into labels that are not aligned with their steps", None),
    "seqkit.MultiTask": _Kind("predicts several targets from one encoder", None),
}


def model_card(
    model: nn.Module,
    name: str,
    config: Mapping[str, Any],
    *,
    metrics: Mapping[str, Any] | None = None,
    data: str | None = None,
    license: str | None = None,
    language: str | list[str] | None = None,
) -> ModelCard:
    """Write the card of a model.

    Args:
        model: The model.
        name: The folder, or the id on the Hub, that users load.
        config: Its config; see :func:`seqkit.tasks.sharing.files.model_config`.
        metrics: Its test scores by name, such as the result of ``trainer.test(model, data)[0]``.
        data: What it was trained on, such as ``"UD English EWT 2.14"``.
        license: Its license, by the Hub's name, such as ``apache-2.0``.
        language: The code of the language of its data, or several, such as ``en``.
    """
    found = [_KINDS[path] for path in map(public_path, type(model).__mro__) if path in _KINDS]
    kind = found[0] if found else _Kind("is a task of its own", None)
    spec, title = config["spec"], name.rpartition("/")[2]
    scores = {key.removeprefix("test_"): float(value) for key, value in (metrics or {}).items()}
    tag = _pipeline_tag(kind, spec)
    results = [EvalResult(tag or "other", data or "", data or "", *score) for score in scores.items()]
    if not data:  # the Hub keeps scores by data set
        results = []
    header = ModelCardData(
        license=license,
        language=language,
        library_name="seqkit",
        pipeline_tag=tag,
        tags=["seqkit", "model_hub_mixin"],
        model_name=title if results else None,
        eval_results=results or None,
    )
    sections = (
        f"# {title}",
        f"A model of seqkit {seqkit.__version__}: a `{config['class_path']}`, which {kind.summary}.",
        _facts(model, config, data),
        _labels(spec),
        _scores(scores, data),
        _usage(name, config),
    )
    return ModelCard(f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, sections)) + "\n")


def _pipeline_tag(kind: _Kind, spec: Spec) -> str | None:
    """Return the Hub's name of the task; most of them are for text only."""
    reads_text = _encoder(next(iter(spec["inputs"].values()))) in (*_TEXT, *_WORDS)
    return kind.tag if reads_text or kind.tag == "time-series-forecasting" else None


def _facts(model: nn.Module, config: Mapping[str, Any], data: str | None) -> str:
    rows = {"data": data}
    for group in ("inputs", "targets"):
        entries = config["spec"][group].items()
        rows[group] = ", ".join(f"{_code(name)} ({_described(entry)})" for name, entry in entries)
    encoder = config["init_args"].get("encoder")
    rows["encoder"] = _code(encoder["class_path"]) if isinstance(encoder, dict) else None
    rows["parameters"] = f"{sum(parameter.numel() for parameter in model.parameters()):,}"
    lines = [f"| {key} | {_cell(value)} |" for key, value in rows.items() if value]
    return "\n".join(["| | |", "|---|---|", *lines])


def _described(entry: Mapping[str, Any]) -> str:
    """Describe an input or a target in a few words."""
    if entry["kind"] == "value":
        kind = "numbers"
    elif entry["kind"] == "features":
        kind = f"{entry['size']} features"
    else:
        kind = f"{_encoder(entry)}, {entry['size']} {'labels' if 'per' in entry else 'ids'}"
    units = {"token": "per token", "sequence": "per sequence", "unaligned": "not aligned with the input"}
    return f"{kind}, {units[entry['per']]}" if "per" in entry else kind


def _labels(spec: Spec) -> str:
    lines = []
    for name, entry in spec["targets"].items():
        names = entry.get("names") or []
        more = f" and {len(names) - _MOST_LABELS} more" if len(names) > _MOST_LABELS else ""
        if names:
            lines.append(f"{_code(name)}: {', '.join(map(_code, names[:_MOST_LABELS]))}{more}")
    return "\n\n".join(["## Labels", *lines]) if lines else ""


def _scores(scores: Mapping[str, float], data: str | None) -> str:
    if not scores:
        return "## Scores\n\nNo test scores were given."
    lines = [f"| {_cell(key)} | {value:,.4f} |" for key, value in scores.items()]
    of = f" of {data}" if data else ""
    return "\n".join(["## Scores", "", f"On the test split{of}:", "", "| | |", "|---|--:|", *lines])


def _usage(name: str, config: Mapping[str, Any]) -> str:
    module, _, cls = config["class_path"].rpartition(".")
    others = sorted({path.partition(".")[0] for path in _class_paths(config) if not _is_known(path)})
    trust = f", trust={others}" if others else ""
    columns = source_columns(config["spec"]["inputs"])
    example: Any = {column: _example(config["spec"]["inputs"], column) for column in columns}
    if len(columns) == 1:
        example = example[columns[0]]
    lines = [
        f"from {module} import {cls}",
        "",
        f"model = {cls}.from_pretrained({name!r}{trust})",
        f"print(model.predict({pprint.pformat([example], width=90, compact=True)}))",
    ]
    return "\n".join(["## Use", "", "`pip install seqkit-packed`, then:", "", "```python", *lines, "```"])


def _example(inputs: Mapping[str, Any], column: str) -> Any:
    """Return a value of a column, in the form in which a row has it."""
    entry = next(entry for name, entry in inputs.items() if entry.get("column", name) == column)
    encoder = _encoder(entry)
    if encoder in _TEXT:
        return "A text."
    if encoder in _WORDS:
        return ["A", "text", "."]
    if entry["kind"] == "features":
        return [0.5, 0.25, 0.0] if entry["size"] == 1 else [[0.0] * entry["size"]] * 3
    return [entry.get("names", [0])[:1]] if entry["kind"] == "multilabel" else [0, 0, 0]


def _encoder(entry: Mapping[str, Any]) -> str:
    return str(entry["class_path"]).rpartition(".")[2]


def _class_paths(value: Any) -> Iterator[str]:
    """Yield the names of all classes in a config."""
    if isinstance(value, dict):
        if isinstance(value.get("class_path"), str):
            yield value["class_path"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _class_paths(item)


def _is_known(path: str) -> bool:
    return path.startswith(tuple(f"{library}." for library in LIBRARIES))


def _code(text: str) -> str:
    """Show a name literally, on one line."""
    shown = "".join(each if each.isprintable() else " " for each in str(text))
    ticks = "``" if "`" in shown else "`"
    inner = f" {shown} " if ticks == "``" or not shown.strip() else shown
    return f"{ticks}{inner}{ticks}"


def _cell(text: str) -> str:
    """Show a text in a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")
