"""Rows of a model's inputs from texts, as a person types them or as the lines of a file hold them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from seqkit.data.encoders import (
    Characters,
    ShapedWords,
    Spec,
    WordCharacters,
    input_depth,
    input_encoder,
    source_columns,
)
from seqkit.data.encoders.tokenizer import TokenizerEncoder

Row = dict[str, Any]


def text_reader(spec: Spec) -> Callable[[str], Row]:
    """Return the function that reads one row of a model's inputs from a text.

    If the inputs read a single column of texts, the text is its value. If they read a single column of lists of
    words, the text is split at white space. Any other model reads JSON: an object with a value for each column, or
    the value alone if there is one column, such as a list of numbers.

    Args:
        spec: The model's data spec.

    Returns:
        A function from a text to the row, by column. It raises a ValueError if the text is not such a JSON value.
    """
    columns = source_columns(spec["inputs"])
    name = next(iter(spec["inputs"]))
    if len(columns) == 1 and isinstance(input_encoder(spec, name), TokenizerEncoder | ShapedWords | WordCharacters):
        split = _splitter(spec, name)
        return lambda text: {columns[0]: split(text)}
    entry = spec["inputs"][name]
    has_channels = entry["kind"] == "features" and entry["size"] > 1
    alone = f"a list of steps with {entry['size']} numbers each" if has_channels else "such as [0.5, 1.0]"
    return lambda text: _parse(text, columns, alone)


def _splitter(spec: Spec, name: str) -> Callable[[str], Any]:
    """Return the function from a text to the value of a column of texts, of words or of characters."""
    if not input_depth(spec, name):
        return str
    return list if isinstance(input_encoder(spec, name), Characters) else str.split


def _parse(text: str, columns: list[str], alone: str) -> Row:
    wanted = ", ".join(f"{json.dumps(column)}: …" for column in columns)
    remedy = f"the model reads {' and '.join(columns)}, so give JSON, such as {{{wanted}}}"
    if len(columns) == 1:
        remedy += f", or the value alone, {alone}"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{text[:40]!r} is no JSON ({error}); {remedy}") from None
    if isinstance(value, Mapping):
        return dict(value)
    if len(columns) > 1:
        raise ValueError(f"{text[:40]!r} is no JSON object; {remedy}")
    return {columns[0]: value}
