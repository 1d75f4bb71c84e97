"""Plain text files, for language models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source, parse_cached
from seqkit.data.sources.lines import numbered_lines

_FEATURES = datasets.Features({"text": datasets.Value("string"), "words": datasets.List(datasets.Value("string"))})


class Text(Source):
    r"""Plain text files (UTF-8, optionally gzipped), in the order of the file; every line end becomes ``\n``.

    Columns: ``text``, one line a row without its line end, and ``words``, the line split at white space. Without
    ``lines``, one row contains the whole file in ``text``, line ends included.

    Args:
        train: The training file.
        validation: The validation file, or the share of the training file's characters to hold out: the last ones
            before those of the test split.
        test: The test file, or the share of the training file's characters to hold out: the last ones.
        lines: Whether each line is a row. A share then begins at the beginning of a line.

    Raises:
        ValueError: If no file is given, a share is not between 0 and 1, or a share is given without a training
            file.
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
                    f"{split}={share}: a share of the training file's characters is between 0 and 1 and needs "
                    f"a training file; or name a file"
                )
        self.lines = lines

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If a file is not UTF-8 (names file and line), or if a share leaves a split without
                characters.
        """
        features = _FEATURES if self.lines else datasets.Features({"text": _FEATURES["text"]})
        splits = {}
        for split in SPLITS:
            if split in self.shares:
                path, shares, part = self.paths["train"], self.shares, split
            elif split in self.paths:
                path, part = self.paths[split], "train"
                shares = self.shares if split == "train" else {}
            else:
                continue
            options = {"lines": self.lines, "shares": shares, "part": part}
            splits[split] = parse_cached(read_text, [path], options, features, split)
        return datasets.DatasetDict(splits)


def read_text(path: str | Path, *, lines: bool, shares: Mapping[str, float], part: str) -> dict[str, Any]:
    """Return the columns of one part of a file, of which ``shares`` are held out. See `Text`."""
    text = "".join(f"{line}\n" for _, line in numbered_lines(path))
    bounds = {}
    stop = len(text)
    for split in ("test", "validation", "train"):
        start = 0 if split == "train" else int(stop * (1 - shares.get(split, 0.0)))
        if lines and start:
            start = text.find("\n", start - 1) + 1
        bounds[split] = start, stop
        stop = start
    start, stop = bounds[part]
    if start == stop:
        raise ValueError(f"{path}: of {len(text)} characters, none are left for {part}; choose other shares")
    chosen = text[start:stop]
    if not lines:
        return {"text": [chosen]}
    rows = chosen.removesuffix("\n").split("\n")
    return {"text": rows, "words": [row.split() for row in rows]}
