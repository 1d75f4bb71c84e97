"""CoNLL-U and plain CoNLL files: one token a line, a blank line after each sentence."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import datasets

from seqkit.data.sources.base import Source, parse_cached, split_paths
from seqkit.data.sources.conll_output import write_conll
from seqkit.data.sources.lines import numbered_lines
from seqkit.options import choice, instance, names

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


class CoNLL(Source):
    """Sentences of CoNLL-U files or of plain CoNLL files with columns, optionally gzipped.

    A row is a sentence; each column is a list of strings, one per token.

    Files named ``.conllu`` (``.conllu.gz``) are CoNLL-U (https://universaldependencies.org/format.html): ten
    columns separated by tabs, and comments that begin with ``#``. The lines of multiword tokens (id ``1-2``) and of
    empty nodes (``1.1``) are skipped, so the syntactic words remain.

    Other files need ``columns``. A line that contains a tab is split at tabs, any other line at spaces. A line of
    spaces and tabs ends a sentence; ``-DOCSTART-`` lines are skipped. Because ``#`` can be a word in these files, a
    line is a comment only if it begins with ``comment``.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
        columns: The columns' names, from left to right. ``.conllu`` files have the names of CoNLL-U by default.
        comment: The prefix of comment lines in plain files.
        extra: What to do with a line that has more columns than ``columns``: ``"raise"`` an error, or ``"drop"``
            the additional columns on the right.
    """

    def __init__(
        self,
        train: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        *,
        columns: list[str] | None = None,
        comment: str | None = None,
        extra: Literal["raise", "drop"] = "raise",
    ) -> None:
        self.paths = split_paths(train, validation, test)
        self.columns = None if columns is None else names("columns", columns, least=1)
        self.comment = instance("comment", comment, str)
        self.extra = choice("extra", extra, ("raise", "drop"))
        for path in self.paths.values():
            if columns is None and not is_conllu(path):
                raise ValueError(
                    f"{path} is not named .conllu, so its columns have no names; name them from left to right,"
                    ' e.g. columns: ["tokens", "tags"]'
                )

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If a line has another number of columns or is not UTF-8, if a gzip file is broken, or if a
                file has no sentence; names file and line.
        """
        splits = {}
        for split, path in self.paths.items():
            options = {"columns": self.columns, "comment": self.comment, "extra": self.extra}
            known = self.columns or CONLLU_COLUMNS
            features = datasets.Features({name: datasets.List(datasets.Value("string")) for name in known})
            splits[split] = parse_cached(read_conll, [path], options, features, split)
        return datasets.DatasetDict(splits)

    def write(
        self,
        path: str | Path,
        split: str,
        column: str | Sequence[str],
        predictions: Mapping[int, Sequence[str | Sequence[str]]],
    ) -> None:
        """Copy a split's file with predictions; comments, ids and all other columns stay byte for byte the same.

        In CoNLL-U files the predicted columns are replaced; in plain files they are added on the right.

        Args:
            path: The file to write, uncompressed.
            split: The split whose file is copied.
            column: The predicted column, or several.
            predictions: By row of the split, one value per token, or a sequence of one value per column. Tokens of
                other rows get ``_``.

        Raises:
            ValueError: If a sentence has another number of tokens than predictions, or if a column is none of
                CoNLL-U.
        """
        source = self.paths[split]
        conllu = is_conllu(source)
        known = list(self.columns or CONLLU_COLUMNS)
        columns = [column] if isinstance(column, str) else list(column)
        if conllu and not set(columns) <= set(known):
            raise ValueError(f"predictions of {columns}, but {source} has the columns {' '.join(known)}")
        places = [known.index(name) for name in columns] if conllu else [None] * len(columns)
        values = {
            row: [(value,) if isinstance(value, str) else value for value in tokens]
            for row, tokens in predictions.items()
        }
        write_conll(source, path, values, comment="#" if conllu else self.comment, places=places)


def is_conllu(path: str | Path) -> bool:
    """Whether a file has the name of a CoNLL-U file."""
    return str(path).removesuffix(".gz").endswith(".conllu")


def read_conll(
    path: str | Path, columns: list[str] | None, comment: str | None, extra: str
) -> dict[str, list[list[str]]]:
    """Return, for each column, one list of strings per sentence. See `CoNLL`."""
    conllu = is_conllu(path)
    known = tuple(columns or CONLLU_COLUMNS)
    comment = "#" if conllu else comment
    sentences: list[list[list[str]]] = [[]]
    ids = TokenIds()
    for number, line in numbered_lines(path):
        if not line.strip(" \t"):
            if sentences[-1]:
                sentences.append([])
            ids = TokenIds()
            continue
        if comment and line.startswith(comment):
            continue
        # Words of CoNLL-U may contain spaces. str.split() would also split at no-break spaces.
        fields = line.split("\t") if conllu or "\t" in line else re.split(" +", line.strip(" "))
        if not conllu and fields[0] == "-DOCSTART-":
            continue
        if len(fields) != len(known) and not (extra == "drop" and len(fields) > len(known)):
            raise ValueError(
                f"{path}:{number}: {len(fields)} columns, expected {len(known)} ({' '.join(known)}):"
                f" {line[:60]!r}; {_remedy(line, conllu, too_many=len(fields) > len(known))}"
            )
        if conllu:
            try:
                is_token = ids.read(fields[0])
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
            if not is_token:
                continue
        sentences[-1].append(fields[: len(known)])
    if not sentences[-1]:
        sentences.pop()
    if not sentences:
        raise ValueError(f"{path}: no sentence in this file")
    return {
        name: [[token[column] for token in sentence] for sentence in sentences] for column, name in enumerate(known)
    }


class TokenIds:
    """Reads the ids of a CoNLL-U sentence's lines: words 1, 2, 3 …, multiword tokens 1-2 and empty nodes 1.1."""

    def __init__(self) -> None:
        self._word = 0  # the last word
        self._node = 0  # the last empty node after it
        self._end = 0  # the last word of the last multiword token

    def read(self, text: str) -> bool:
        """Return whether an id is that of a word.

        Raises:
            ValueError: It is no id, occurs twice, or is out of order.
        """
        if not (found := re.fullmatch(r"(\d+)(?:([-.])(\d+))?", text, re.ASCII)):
            raise ValueError(f"{text!r} is not a token's id, such as 1, 1-2 or 1.1; correct the file")
        first, kind, second = int(found[1]), found[2], int(found[3] or 0)
        if kind is None:
            expected = f"{self._word + 1}"
            self._word, self._node = self._word + 1, 0
        elif kind == ".":
            expected = f"{self._word}.{self._node + 1}"
            self._node += 1
        else:
            expected = f"{self._word + 1}-{max(second, self._word + 1)}"
            if self._end > self._word:
                raise ValueError(f"id {text}: the multiword token before it ends at {self._end}; correct the file")
            self._end = second
        if f"{first}{kind or ''}{second if kind else ''}" != expected:
            missing = " (or is the blank line before this sentence missing?)" if first == 1 else ""
            raise ValueError(f"id {text}, expected {expected}; ids count a sentence's words: correct it{missing}")
        return kind is None


def _remedy(line: str, conllu: bool, too_many: bool) -> str:
    if conllu:
        return "is the file truncated here, or are its tabs spaces?"
    if line.startswith("#"):
        return "if this is a comment, give the prefix of comments (comment: '# ')"
    if too_many:
        return 'name all columns, or drop those on the right (extra: "drop")'
    return "is the file truncated here?"
