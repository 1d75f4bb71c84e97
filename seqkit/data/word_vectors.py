"""Pre-trained word vectors from text files of GloVe, word2vec and fastText."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqkit.data.sources.lines import numbered_byte_lines

__all__ = ["Vectors", "read_vectors"]

_LARGEST = float(np.finfo(np.float32).max)


class Vectors(NamedTuple):
    """The vectors of V words.

    Attributes:
        values: (V, D) float32, zeros for a word without a vector.
        exact: (V,) bool, whether the file contains the word.
        folded: (V,) bool, whether the file contains the word in another case only.
    """

    values: Tensor
    exact: Tensor
    folded: Tensor

    @property
    def known(self) -> Tensor:
        """(V,) bool, whether a word has a vector."""
        return self.exact | self.folded

    @torch.no_grad()
    def fill(self, weight: Tensor) -> None:
        """Copy the vectors into an embedding's weight in place; scale its other rows to their standard deviation.

        Args:
            weight: (V, D), with any initialisation.

        Raises:
            ValueError: If the sizes differ, or if no word has a vector.
        """
        if weight.shape != self.values.shape:
            raise ValueError(
                f"vectors of shape {tuple(self.values.shape)} (words, dimension) for an embedding of shape "
                f"{tuple(weight.shape)}; set its embedding_dim to {self.values.shape[1]}"
            )
        known = self.known
        if not bool(known.any()):
            raise ValueError("no word has a vector; is the file of another language, or are the words lower-cased?")
        found = self.values[known]
        weight *= found.std(correction=0).to(weight) / weight.std(correction=0).clamp(min=1e-12)
        weight[known.to(weight.device)] = found.to(weight)

    def describe(self, words: Sequence[str]) -> str:
        """Return how many of the words have a vector, and some words that have none."""
        missing = [word for word, known in zip(words, self.known.tolist(), strict=True) if not known]
        examples = f", such as {', '.join(map(repr, missing[:5]))}" if missing else ""
        return (
            f"{int(self.known.sum()):,} of {len(words):,} words have a vector: {int(self.exact.sum()):,} in the "
            f"same case, {int(self.folded.sum()):,} in another case; {len(missing):,} have none{examples}"
        )


def read_vectors(path: str | Path, words: Sequence[str], *, fold_case: bool = True) -> Vectors:
    """Read the vectors of some words in one pass; other vectors are not kept in memory.

    A line contains a word and D numbers, separated by single spaces (https://nlp.stanford.edu/projects/glove/). A
    word may contain spaces, except in the first line. A header line may give the numbers of words and dimensions,
    as word2vec and fastText (``.vec``) write it. If a word has several lines, the first is used.

    Args:
        path: The file, plain or gzipped, in UTF-8 with or without a byte-order mark.
        words: V unique words.
        fold_case: Whether a word that the file does not contain gets the vector of the first word that differs in
            case only.

    Raises:
        ValueError: If a line has too few numbers, if a vector of one of the words contains something other than
            finite numbers, or if the file is truncated or empty; names the line.
    """
    rows = {word: row for row, word in enumerate(words)}
    by_fold: dict[str, list[int]] = {}
    for word, row in rows.items() if fold_case else ():
        by_fold.setdefault(word.lower(), []).append(row)
    values: np.ndarray | None = None
    exact, folded = np.zeros(len(words), dtype=bool), np.zeros(len(words), dtype=bool)
    size, expected, number, count = 0, None, 0, 0
    for number, raw in numbered_byte_lines(path):
        line = raw.rstrip()
        if not line:
            continue
        if values is None:
            fields = line.split(b" ")
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                expected, size = int(fields[0]), int(fields[1])
            else:
                size = len(fields) - 1
            values = np.zeros((len(words), size), dtype=np.float32)
            if expected is not None:
                continue
        count += 1
        spaces = line.count(b" ")
        if spaces < size or not size:
            raise ValueError(
                f"{path}:{number}: a word and {spaces} numbers, expected {size}; the file is broken or not a text "
                f"file of word vectors: download it again"
            )
        name, numbers = _split_line(line, size, spaces)
        own = rows.get(name)
        if own is not None and not exact[own]:
            values[own] = _parse_numbers(path, number, numbers)
            exact[own], folded[own] = True, False
        for other in by_fold.get(name.lower(), ()):
            if not exact[other] and not folded[other]:
                values[other] = _parse_numbers(path, number, numbers)
                folded[other] = True
    if values is None:
        raise ValueError(f"{path} is empty; download it again")
    if expected is not None and count < expected:
        raise ValueError(
            f"{path} ends after line {number} with {count} words, but its header gives {expected}; "
            f"download it again"
        )
    return Vectors(torch.from_numpy(values), torch.from_numpy(exact), torch.from_numpy(folded))


def _split_line(line: bytes, size: int, spaces: int) -> tuple[str, bytes]:
    """Return the word, which may contain spaces, and the numbers."""
    if spaces == size:
        word, _, numbers = line.partition(b" ")
    else:
        fields = line.rsplit(b" ", size)
        word, numbers = fields[0], b" ".join(fields[1:])
    return word.decode("utf-8", "replace"), numbers


def _parse_numbers(path: str | Path, number: int, numbers: bytes) -> list[float]:
    try:
        values = [float(text) for text in numbers.split(b" ")]
    except ValueError as error:
        raise ValueError(f"{path}:{number}: {error}; the file is broken: download it again") from error
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{path}:{number}: a number is not finite; the file is broken: download it again")
    if any(abs(value) > _LARGEST for value in values):
        raise ValueError(
            f"{path}:{number}: a number is too large for float32; the file is broken: download it again"
        )
    return values
