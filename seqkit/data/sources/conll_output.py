"""Copy a CoNLL file with columns of predictions; everything else stays byte for byte the same."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from seqkit.data.sources.lines import open_binary


def write_conll(
    source: str | Path,
    path: str | Path,
    predictions: Mapping[int, Sequence[Sequence[str]]],
    *,
    comment: str | None,
    places: Sequence[int | None],
) -> None:
    """Copy a CoNLL file with columns added or replaced.

    Comments, blank lines, ``-DOCSTART-`` lines of plain files and, where a column is replaced, the lines of
    multiword tokens and empty nodes are copied unchanged.

    Args:
        source: The file that was read; see `seqkit.data.CoNLL`.
        path: The file to write.
        predictions: By sentence from 0, the values of each token, one per column. Tokens of other sentences get
            ``_``.
        comment: The prefix of comment lines.
        places: The columns to replace (of CoNLL-U), from 0; None adds a column on the right.

    Raises:
        ValueError: If a sentence has another number of tokens than predictions: the file is not the one that was
            read.
    """
    sentence, token = 0, 0
    replaces = None not in places
    with open_binary(source) as lines, open(path, "wb") as file:
        for number, raw in enumerate(lines, start=1):
            text = raw.decode("utf-8")
            line = text.rstrip("\n").removesuffix("\r")
            line_end = text[len(line) :]
            content = line.removeprefix("\ufeff")
            if not content.strip(" \t"):
                if token:
                    _check_length(source, number, predictions, sentence, token, complete=True)
                    sentence, token = sentence + 1, 0
            elif not (comment and content.startswith(comment)) and not _is_skipped(content, replaces):
                _check_length(source, number, predictions, sentence, token + 1, complete=False)
                values = predictions.get(sentence)
                for i, place in enumerate(places):
                    line = _with_value(line, "_" if values is None else values[token][i], place)
                token += 1
            file.write((line + line_end).encode("utf-8"))
        if token:
            _check_length(source, number, predictions, sentence, token, complete=True)


def _is_skipped(line: str, replaces: bool) -> bool:
    if replaces:
        return re.match(r"\d+[-.]", line) is not None
    return re.split("[\t ]", line.lstrip(" "), maxsplit=1)[0] == "-DOCSTART-"


def _with_value(line: str, value: str, replace: int | None) -> str:
    if replace is not None:
        fields = line.split("\t")
        fields[replace] = value
        return "\t".join(fields)
    if "\t" in line:
        return f"{line}\t{value}"
    return f"{line}{value}" if line.endswith(" ") else f"{line} {value}"


def _check_length(
    source: str | Path,
    number: int,
    predictions: Mapping[int, Sequence[Sequence[str]]],
    sentence: int,
    tokens: int,
    *,
    complete: bool,
) -> None:
    """Compare the tokens of a sentence, read completely or up to line ``number``, with its predictions."""
    values = predictions.get(sentence)
    if values is not None and (len(values) < tokens or (complete and len(values) != tokens)):
        or_more = "" if complete else " or more"
        raise ValueError(
            f"{source}:{number}: sentence {sentence} has {tokens} tokens{or_more} but {len(values)} predictions; "
            f"use the file that was read, unchanged"
        )
