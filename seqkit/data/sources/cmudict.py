"""Pronouncing dictionaries in the format of CMUdict."""

import hashlib
from pathlib import Path
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source, parse_cached
from seqkit.data.sources.lines import numbered_lines
from seqkit.options import MAX_SEED, flag, integer, number


class CMUdict(Source):
    """The CMU Pronouncing Dictionary, or another one in its format: a word and its phones on each line.

    One row per word: ``word``, a string; ``phones``, all its pronunciations, each a list of phones. Several lines
    of one word (``word``, ``word(2)``) make one row. Text after `` #`` and lines that begin with ``;;;`` are
    comments.

    There is no official split. Words are sorted by a hash of seed and word; the first are the test split, the next
    the validation split. So all pronunciations of a word are in one split, and the splits are the same on every
    machine. Within a split, words have the order of the file.

    Args:
        path: ``cmudict.dict``, optionally gzipped.
        stress: Whether vowels keep their stress (``AH0``). Without it, pronunciations that differ only in stress
            are merged.
        validation_fraction: Share of the words in the validation split.
        test_fraction: Share of the words in the test split.
        seed: Seed of the split.

    Raises:
        ValueError: If a share is negative or the shares leave no words to train on.
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
        self.path = path
        self.stress = flag("stress", stress)
        self.validation_fraction = number("validation_fraction", validation_fraction, 0, 1)
        self.test_fraction = number("test_fraction", test_fraction, 0, 1)
        self.seed = integer("seed", seed, 0, MAX_SEED)
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validation_fraction={validation_fraction} and test_fraction={test_fraction} leave no words to "
                f"train on; choose a sum below 1"
            )

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If a line has no phones; names file and line.
        """
        text = datasets.Value("string")
        features = datasets.Features({"word": text, "phones": datasets.List(datasets.List(text))})
        options = {
            "stress": self.stress,
            "validation_fraction": self.validation_fraction,
            "test_fraction": self.test_fraction,
            "seed": self.seed,
        }
        splits = {}
        for split in SPLITS:
            splits[split] = parse_cached(read_words, [self.path], {**options, "split": split}, features, split)
        return datasets.DatasetDict(splits)


def read_words(
    path: str | Path, *, stress: bool, validation_fraction: float, test_fraction: float, seed: int, split: str
) -> dict[str, Any]:
    """Return the columns of one split. See `CMUdict`."""
    words: dict[str, list[list[str]]] = {}
    for line_number, line in numbered_lines(path):
        entry = line.partition(" #")[0].split()
        if not entry or line.startswith(";;;"):
            continue
        word, *phones = entry
        if not phones:
            raise ValueError(f"{path}:{line_number}: {word!r} has no phones; is the line truncated?")
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
