"""Pre-trained word vectors from text files: those of GloVe, of word2vec and of fastText."""

import codecs
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["Vectors", "read_vectors"]

_GZIP = b"\x1f\x8b"


class Vectors(NamedTuple):
    """What a file knows of some words.

    Attributes:
        values: (V, D) float32, zeros for a word that is not there.
        exact: (V,) whether a word is there as it is written.
        folded: (V,) whether it is there in another case only.
    """

    values: Tensor
    exact: Tensor
    folded: Tensor

    @property
    def known(self) -> Tensor:
        """(V,) whether a word has a vector."""
        return self.exact | self.folded

    @torch.no_grad()
    def fill(self, weight: Tensor) -> None:
        """Put the vectors into an embedding's weight, in place, and bring its other rows to their spread.

        Args:
            weight: (V, D), whatever spread it was drawn with.

        Raises:
            ValueError: The sizes differ, or no word has a vector.
        """
        if weight.shape != self.values.shape:
            raise ValueError(
                f"vectors {tuple(self.values.shape)} (words, numbers of each) for an embedding of "
                f"{tuple(weight.shape)}; set its embedding_dim to {self.values.shape[1]}"
            )
        known = self.known
        if not bool(known.any()):
            raise ValueError(
                "no word has a vector; is the file one of another language, or are the words lower-cased?"
            )
        found = self.values[known]
        weight *= found.std(correction=0).to(weight) / weight.std(correction=0).clamp(min=1e-12)
        weight[known.to(weight.device)] = found.to(weight)

    def describe(self, words: Sequence[str]) -> str:
        """How many of the words have a vector, and some that have none."""
        missing = [word for word, known in zip(words, self.known.tolist(), strict=True) if not known]
        some = f", such as {', '.join(map(repr, missing[:5]))}" if missing else ""
        return (
            f"{int(self.known.sum()):,} of {len(words):,} words have a vector: {int(self.exact.sum()):,} as they "
            f"are, {int(self.folded.sum()):,} in another case; {len(missing):,} have none{some}"
        )


def read_vectors(path: str | Path, words: Sequence[str], *, fold_case: bool = True) -> Vectors:
    """Read the vectors of some words, in one pass that keeps no other.

    A line is a word, which may hold spaces but in the first line, and D numbers, apart by single spaces
    (https://nlp.stanford.edu/projects/glove/). A line before may say how many words and numbers there are, as
    word2vec and fastText (``.vec``) write it. Of several lines for one word the first counts.

    Args:
        path: The file, plain or gzip, UTF-8 with or without a byte-order mark.
        words: V unlike words.
        fold_case: Whether a word that is not there may have the vector of the first that differs in case only.

    Raises:
        ValueError: A line has too few numbers, or something else than a finite number where the word is one of
            those asked for; the file ends too early or is empty. Names the line.
    """
    rows = {word: row for row, word in enumerate(words)}
    by_fold: dict[str, list[int]] = {}
    for word, row in rows.items() if fold_case else ():
        by_fold.setdefault(word.lower(), []).append(row)
    values: np.ndarray | None = None
    exact, folded = np.zeros(len(words), dtype=bool), np.zeros(len(words), dtype=bool)
    size, promised, number, count = 0, None, 0, 0
    for number, line in _lines(path):
        if values is None:
            fields = line.split(b" ")
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                promised, size = int(fields[0]), int(fields[1])
            else:
                size = len(fields) - 1
            values = np.zeros((len(words), size), dtype=np.float32)
            if promised is not None:
                continue
        count += 1
        spaces = line.count(b" ")
        if spaces < size or not size:
            raise ValueError(
                f"{path}, line {number}: a word and {spaces} numbers, but there are to be {size}; the file is "
                f"broken there, or no text file of word vectors: fetch it again"
            )
        name, numbers = _split(line, size, spaces)
        own = rows.get(name)
        if own is not None and not exact[own]:
            values[own] = _parsed(path, number, numbers)
            exact[own], folded[own] = True, False
        for other in by_fold.get(name.lower(), ()):
            if not exact[other] and not folded[other]:
                values[other] = _parsed(path, number, numbers)
                folded[other] = True
    if values is None:
        raise ValueError(f"{path} is empty; fetch it again")
    if promised is not None and count < promised:
        raise ValueError(
            f"{path} ends after line {number}, with {count} words, but its first line promises {promised}; "
            f"fetch it again"
        )
    return Vectors(torch.from_numpy(values), torch.from_numpy(exact), torch.from_numpy(folded))


def _lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, without blanks at the end and without blank ones."""
    number = 0
    with open(path, "rb") as plain:
        packed = plain.peek(2)[:2] == _GZIP
        file = cast(BinaryIO, gzip.GzipFile(fileobj=plain) if packed else plain)
        try:
            for number, line in enumerate(file, start=1):
                if stripped := (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip():
                    yield number, stripped
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is broken after line {number}: {error}; fetch it again") from error


def _split(line: bytes, size: int, spaces: int) -> tuple[str, bytes]:
    """The word, which may hold spaces, and the numbers."""
    if spaces == size:
        word, _, numbers = line.partition(b" ")
    else:
        fields = line.rsplit(b" ", size)
        word, numbers = fields[0], b" ".join(fields[1:])
    return word.decode("utf-8", "replace"), numbers


def _parsed(path: str | Path, number: int, numbers: bytes) -> list[float]:
    try:
        values = [float(text) for text in numbers.split(b" ")]
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}; the file is broken there: fetch it again") from error
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{path}, line {number}: a number that is not finite; the file is broken there")
    return values
