"""Lines of text files, plain or gzip, with errors that name file and line."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    r"""Yield each line's number, from 1, and its text without the line end (``\n`` or ``\r\n``).

    Files whose name ends in ``.gz`` are unpacked. A byte-order mark is dropped.

    Raises:
        ValueError: If a line is not UTF-8, or the gzip file is broken; names file and line.
    """
    number = 0
    with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
        try:
            for number, line in enumerate(file, start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not UTF-8: byte 0x{error.object[error.start]:02x} at column"
                f" {error.start + 1} ({error.reason}); convert the file to UTF-8"
            ) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}:{number + 1}: the gzip file is broken after {number} whole lines ({error}); fetch it again"
            ) from error
