"""CoNLL files written back with a column of predictions: all else stays byte for byte."""

import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast


def write_conll(
    source: str | Path,
    path: str | Path,
    predictions: Mapping[int, Sequence[str]],
    *,
    comment: str | None,
    replace: int | None,
) -> None:
    """Copy a CoNLL file with one more column, or with one column replaced.

    Comments, blank lines, ``-DOCSTART-`` lines of plain columns and, where a column is replaced, the lines of
    multiword tokens and empty nodes are copied as they are.

    Args:
        source: The file that was read, as `seqkit.data.CoNLL` reads it.
        path: The file to write.
        predictions: By sentence, counted from 0: one value a token. A sentence without any gets ``_``.
        comment: What comment lines begin with.
        replace: The column that is replaced, counted from 0, as in CoNLL-U; None adds one on the right.

    Raises:
        ValueError: A sentence has another number of tokens than of predictions: the file is not the one that was
            read.
    """
    sentence, token = 0, 0
    with _open(source) as lines, open(path, "wb") as file:
        for number, raw in enumerate(lines, start=1):
            text = raw.decode("utf-8")
            line = text.rstrip("\n").removesuffix("\r")
            end = text[len(line) :]
            bare = line.removeprefix("\ufeff")
            if not bare.strip(" \t"):
                if token:
                    _check(source, number, predictions, sentence, token, whole=True)
                    sentence, token = sentence + 1, 0
            elif not (comment and bare.startswith(comment)) and not _skipped(bare, replace):
                _check(source, number, predictions, sentence, token + 1, whole=False)
                values = predictions.get(sentence)
                line = _with(line, "_" if values is None else values[token], replace)
                token += 1
            file.write((line + end).encode("utf-8"))
        if token:
            _check(source, number, predictions, sentence, token, whole=True)


def _open(source: str | Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(source)) if str(source).endswith(".gz") else open(source, "rb")


def _skipped(line: str, replace: int | None) -> bool:
    if replace is not None:
        return re.match(r"\d+[-.]", line) is not None
    return re.split("[\t ]", line.lstrip(" "), maxsplit=1)[0] == "-DOCSTART-"


def _with(line: str, value: str, replace: int | None) -> str:
    if replace is not None:
        fields = line.split("\t")
        fields[replace] = value
        return "\t".join(fields)
    if "\t" in line:
        return f"{line}\t{value}"
    return f"{line}{value}" if line.endswith(" ") else f"{line} {value}"


def _check(
    source: str | Path,
    number: int,
    predictions: Mapping[int, Sequence[str]],
    sentence: int,
    tokens: int,
    *,
    whole: bool,
) -> None:
    values = predictions.get(sentence)
    if values is not None and (len(values) < tokens or (whole and len(values) != tokens)):
        more = "" if whole else " or more"
        raise ValueError(
            f"{source}:{number}: sentence {sentence} has {tokens} tokens{more} but {len(values)} predictions; "
            f"write into the file that was read, unchanged"
        )
