"""``python -m seqkit predict --text``: predict texts, or the lines of the standard input, as JSON lines."""

import argparse
import codecs
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import add
from typing import Any, cast

import seqkit
from seqkit.cli.arguments import check_files
from seqkit.cli.commands.options import CommandParser
from seqkit.data.rows.checks import RowError, SourceRows
from seqkit.data.text_rows import text_reader
from seqkit.tasks import SequenceModule
from seqkit.tasks.prediction import MAX_TOKENS, EmptyRowError

_STDIN = "-"
_AT_ONCE = 1 << 20  # bytes of the standard input
_CLOSED_PIPE = 141  # the exit status of other programs


def predict_command(arguments: Sequence[str]) -> None:
    """Parse the command line, predict its texts, and write a JSON line for each to the standard output.

    Args:
        arguments: The arguments after ``python -m seqkit predict``.

    Raises:
        ValueError: An option is wrong, or a text cannot be read or predicted; the message names it.
        SystemExit: The reader of the standard output has closed it.
    """
    given = _parse_arguments(arguments)
    check_files(["--ckpt_path", given.ckpt_path], folders=True)
    model = seqkit.load(given.ckpt_path, map_location=given.device, trust=given.trust)
    read = text_reader(model.spec)
    options = {"max_tokens": given.max_tokens, "scores": given.scores, "empty": given.empty}
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8 on any system
    first = 0
    try:
        for texts in _lines(sys.stdin.buffer) if given.text == [_STDIN] else [given.text]:
            rows = [_read_row(read, text, number) for number, text in enumerate(texts, first)]
            with SourceRows(locate=partial(add, first)).name_errors():
                results = _predict(model, rows, options)
            sys.stdout.writelines(json.dumps(result, ensure_ascii=False) + "\n" for result in results)
            sys.stdout.flush()
            first += len(texts)
    except BrokenPipeError:
        # Whoever reads the output wants no more of it. Python would fail again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_CLOSED_PIPE) from None


def _parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        "predict --text",
        "Predict texts, or the lines of the standard input, and write a JSON line for each. Without --text, "
        "predict reads a split of the data.",
    )
    parser.add_checkpoint("the checkpoint, or a folder of save_pretrained")
    parser.add_argument(
        "--text",
        action="append",
        help="a text; may be repeated; - reads the lines of the standard input. Blanks separate words. A model of "
        "series or of several inputs takes JSON: the value, or an object with the inputs",
    )
    parser.add_argument("--scores", action="store_true", help="add the probabilities of labels")
    parser.add_argument(
        "--empty", choices=["raise", "none"], default="raise", help="what an empty text gives: an error, or null"
    )
    parser.add_argument("--max_tokens", type=int, default=MAX_TOKENS, help="the token budget of a batch")
    parser.add_argument("--device", help="where the model runs, such as cpu or cuda")
    if {"-h", "--help"}.intersection(arguments):  # also right after --text, which takes a value otherwise
        arguments = ["--help"]
    given = parser.read(arguments)
    if _STDIN in given.text and len(given.text) > 1:
        raise ValueError("--text - reads the standard input; give it without another --text")
    return given


def _predict(model: SequenceModule, rows: list[dict[str, Any]], options: dict[str, Any]) -> list[Any]:
    try:
        return cast(list[Any], model.predict(rows, **options))
    except EmptyRowError as error:
        remedy = "leave the text out, or give --empty none, which writes null in its place"
        raise RowError(error.row, f"{error.reason}; {remedy}", error.column) from None


def _read_row(read: Callable[[str], dict[str, Any]], text: str, number: int) -> dict[str, Any]:
    try:
        return read(text)
    except ValueError as error:
        raise RowError(number, str(error)) from None


def _lines(file: Any) -> Iterator[list[str]]:
    r"""Yield the lines of a binary file, as many together as are there, without their ends (``\n`` or ``\r\n``).

    So a line that somebody types, or that another program writes, is answered at once.
    """
    rest, number = b"", 0
    while part := file.read1(_AT_ONCE):
        *lines, rest = (rest + part).split(b"\n")
        if lines:
            yield [_decode(line, row) for row, line in enumerate(lines, number)]
        number += len(lines)
    if rest:
        yield [_decode(rest, number)]


def _decode(line: bytes, row: int) -> str:
    try:
        return (line.removeprefix(codecs.BOM_UTF8) if not row else line).removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start}; convert the text to UTF-8"
        raise RowError(row, message) from None
