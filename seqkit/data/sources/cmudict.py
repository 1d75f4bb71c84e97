"""Pronouncing dictionaries in the format of CMUdict."""

import hashlib
from pathlib import Path
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source, parsed
from seqkit.data.sources.lines import numbered_lines


class CMUdict(Source):
    """The CMU Pronouncing Dictionary, or another in its format: a word and its phones on each line.

    One row per word: ``word``, a string; ``phones``, all its pronunciations, each a list of phones. A word that
    comes on several lines, as ``word(2)`` too, is one row. What follows `` #`` is a comment, and so is a line that
    begins with ``;;;``.

    There is no official split. Words are put in the order of a hash of the seed and the word; the first are the
    test, the next the validation split, so that all pronunciations of a word are in one, on every machine. Within a
    split they stand in the order of the file.

    Args:
        path: ``cmudict.dict``; gzipped files too.
        stress: Whether vowels keep their stress (``AH0``); otherwise pronunciations that differ in nothing else are
            one.
        validation_fraction: Share of the words.
        test_fraction: Share of the words.
        seed: Of the split.

    Raises:
        ValueError: The shares are negative, or leave nothing to train on.
    """

    def __init__(
        self,
        path: str,
        *,
        stress: bool = False,
        validation_fraction: float = 0.05,
        test_fraction: float = 0.05,
        seed: int = 0,
    ) -> None:
        if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
            raise ValueError(
                f"CMUdict got validation_fraction={validation_fraction} and test_fraction={test_fraction}; give "
                f"shares of the words that leave some to train on"
            )
        self.path = path
        self.stress = stress
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.seed = seed

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: At a line without phones; names file and line.
        """
        text = datasets.Value("string")
        features = datasets.Features({"word": text, "phones": datasets.List(datasets.List(text))})
        options = {
            "stress": self.stress,
            "validation_fraction": self.validation_fraction,
            "test_fraction": self.test_fraction,
            "seed": self.seed,
        }
        return datasets.DatasetDict(
            {
                split: parsed(read_words, [self.path], options | {"split": split}, features, split)
                for split in SPLITS
            }
        )


def read_words(
    path: str | Path, *, stress: bool, validation_fraction: float, test_fraction: float, seed: int, split: str
) -> dict[str, Any]:
    """Return the columns of one split. See `CMUdict`."""
    words: dict[str, list[list[str]]] = {}
    for number, line in numbered_lines(path):
        entry = line.partition(" #")[0].split()
        if not entry or line.startswith(";;;"):
            continue
        word, *phones = entry
        if not phones:
            raise ValueError(f"{path}:{number}: {word!r} has no phones; is the line cut off?")
        if word.endswith(")") and word[:-1].rpartition("(")[2].isdecimal():
            word = word[: word.rindex("(")]
        if not stress:
            phones = [phone.rstrip("0123456789") for phone in phones]
        pronunciations = words.setdefault(word, [])
        if phones not in pronunciations:
            pronunciations.append(phones)
    if not words:
        raise ValueError(f"{path}: no word in this file")

    order = sorted(words, key=lambda word: hashlib.blake2b(f"{seed} {word}".encode()).digest())
    test = round(test_fraction * len(words))
    rest = test + round(validation_fraction * len(words))
    begin, end = {"test": (0, test), "validation": (test, rest), "train": (rest, len(words))}[split]
    chosen = set(order[begin:end])
    return {
        "word": [word for word in words if word in chosen],
        "phones": [pronunciations for word, pronunciations in words.items() if word in chosen],
    }
