"""Plain text files, for language models."""

from pathlib import Path
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source, parsed
from seqkit.data.sources.lines import numbered_lines

_FEATURES = datasets.Features({"text": datasets.Value("string"), "words": datasets.List(datasets.Value("string"))})


class Text(Source):
    r"""Text from plain files (UTF-8), also gzipped, in the order of the file; all line ends become ``\n``.

    Columns: ``text``; with ``lines``, a row a line without its end, also ``words``, what blanks separate in it.
    Without, a file is one row, line ends included.

    Args:
        train: The training file.
        validation: The validation file; or the share of the training characters to hold out instead, the last ones,
            after the test's have been taken.
        test: The test file; or the share of the training file's characters to hold out, the last ones.
        lines: Whether a row is a line. Then a share begins at the next begin of a line.

    Raises:
        ValueError: There is no file, a share is not between 0 and 1, or is to be taken of no training file.
    """

    def __init__(
        self,
        train: str | None = None,
        validation: float | str | None = None,
        test: float | str | None = None,
        lines: bool = True,
    ) -> None:
        given = dict(zip(SPLITS, (train, validation, test), strict=True))
        self.paths = {split: path for split, path in given.items() if isinstance(path, str) and path}
        self.shares = {split: float(share) for split, share in given.items() if isinstance(share, float | int)}
        if not self.paths:
            raise ValueError("no file given: name at least one of train, validation and test")
        for split, share in self.shares.items():
            if not 0 < share < 1 or "train" not in self.paths:
                raise ValueError(
                    f"{split}={share}: a share of the training file's characters lies between 0 and 1, and needs "
                    f"that file; or name a file"
                )
        self.lines = lines

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If a file is no UTF-8, names file and line; if a share leaves a split without a character.
        """
        options = {"lines": self.lines, "validation": self.shares.get("validation", 0.0)}
        options |= {"test": self.shares.get("test", 0.0)}
        features = _FEATURES if self.lines else datasets.Features({"text": _FEATURES["text"]})
        splits = {}
        for split in SPLITS:
            if split in self.paths or split in self.shares:
                whole = {"validation": 0.0, "test": 0.0} if split in self.paths and split != "train" else {}
                part = split if split in self.shares else "train"
                path = self.paths.get(split, self.paths.get("train", ""))
                splits[split] = parsed(read_text, [path], options | whole | {"part": part}, features, split)
        return datasets.DatasetDict(splits)


def read_text(path: str | Path, *, lines: bool, validation: float, test: float, part: str) -> dict[str, Any]:
    """Return the columns of one part of a file. See `Text`."""
    text = "".join(f"{line}\n" for _, line in numbered_lines(path))
    bounds = {}
    stop = len(text)
    for split, share in (("test", test), ("validation", validation), ("train", 1.0)):
        start = int(stop * (1 - share))
        if lines and start:
            start = text.find("\n", start - 1) + 1
        bounds[split] = start, stop
        stop = start
    start, stop = bounds[part]
    if start == stop:
        raise ValueError(f"{path}: of {len(text)} characters none is left for {part}; take other shares")
    chosen = text[start:stop]
    if not lines:
        return {"text": [chosen]}
    rows = chosen.removesuffix("\n").split("\n")
    return {"text": rows, "words": [row.split() for row in rows]}
