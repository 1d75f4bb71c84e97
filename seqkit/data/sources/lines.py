"""Read the lines of text files, plain or gzipped, with errors that name file and line."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from seqkit.files import check_regular_file

_GZIP_MAGIC = b"\x1f\x8b"


def open_binary(path: str | Path) -> BinaryIO:
    """Open a file for reading; one whose name ends in ``.gz`` or that begins like a gzip file is decompressed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder, a pipe or a device.
    """
    check_regular_file(path)
    file = open(path, "rb")  # noqa: SIM115 (the caller closes it)
    if str(path).endswith(".gz") or file.peek(2)[:2] == _GZIP_MAGIC:
        file.close()
        return cast(BinaryIO, gzip.open(path))
    return file


def numbered_byte_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    r"""Yield each line's number, from 1, and its bytes without the line end (``\n`` or ``\r\n``).

    A byte-order mark at the beginning of the file is removed. See `open_binary` for gzipped files.

    Raises:
        ValueError: If the gzip file is broken; names file and line.
    """
    number = 0
    with open_binary(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                yield number, content.removesuffix(b"\n").removesuffix(b"\r")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path}:{number + 1}: the gzip file is broken after {number} complete lines ({error});"
                " download it again"
            ) from error


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield each line's number, from 1, and its text; see `numbered_byte_lines`.

    Raises:
        ValueError: If a line is not UTF-8 or the gzip file is broken; names file and line.
    """
    for number, line in numbered_byte_lines(path):
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}:{number}: not UTF-8: byte 0x{error.object[error.start]:02x} at column"
                f" {error.start + 1} ({error.reason}); convert the file to UTF-8"
            ) from error
