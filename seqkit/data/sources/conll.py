"""CoNLL-U and plain CoNLL columns: one token a line, a blank line after each sentence."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import datasets

from seqkit.data.sources.base import Source, named_splits, parsed
from seqkit.data.sources.conll_output import write_conll
from seqkit.data.sources.lines import numbered_lines

CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


class CoNLL(Source):
    """Sentences from CoNLL-U files or from plain CoNLL columns, also gzipped.

    Every column becomes a list of strings, one per token.

    Files named ``.conllu`` (``.conllu.gz``) are CoNLL-U (https://universaldependencies.org/format.html): ten
    columns separated by tabs, comments beginning with ``#``; the lines of multiword tokens (id ``1-2``) and of
    empty nodes (``1.1``) are skipped, so the syntactic words remain.

    Other files need ``columns``. A line with a tab is separated by tabs, another by spaces. A line of
    spaces and tabs ends a sentence; ``-DOCSTART-`` lines are skipped. As ``#`` can be a word there, a line
    is a comment only if it begins with ``comment``.

    Args:
        train: The training file.
        validation: The validation file.
        test: The test file.
        columns: The columns' names, from left to right; by default those of CoNLL-U for ``.conllu`` files.
        comment: What comment lines of plain columns begin with.
        extra: What a plain line with more columns than ``columns`` is: an error, or (``"drop"``) read as far as it
            is named, for files with further annotations on the right.
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
        self.paths = named_splits(train, validation, test)
        self.columns = columns
        self.comment = comment
        self.extra = extra
        if columns is not None and len(set(columns)) != len(columns):
            raise ValueError(f"columns {columns} name one column twice")
        for path in self.paths.values():
            if columns is None and not is_conllu(path):
                raise ValueError(
                    f"{path} is not named .conllu, so its columns have no names; give them from left to right,"
                    ' e.g. columns: ["tokens", "tags"]'
                )

    def load(self) -> datasets.DatasetDict:
        """Return the splits; each column is a list of strings.

        Raises:
            ValueError: At a line with another number of columns or that is not UTF-8, at a broken gzip file, at a
                file without a sentence; names file and line.
        """
        splits = {}
        for split, path in self.paths.items():
            options = {"columns": self.columns, "comment": self.comment, "extra": self.extra}
            names = self.columns or CONLLU_COLUMNS
            features = datasets.Features({name: datasets.List(datasets.Value("string")) for name in names})
            splits[split] = parsed(read_conll, [path], options, features, split)
        return datasets.DatasetDict(splits)

    def write(self, path: str | Path, split: str, column: str, predictions: Mapping[int, Sequence[str]]) -> None:
        """Write a split's file back with predictions: comments, ids and all other columns byte for byte.

        In CoNLL-U the column is replaced, in plain columns one is added on the right.

        Args:
            path: The file to write; not compressed.
            split: Whose file.
            column: The column that was predicted.
            predictions: By row of the split: one value a token. A row without any gets ``_``.

        Raises:
            ValueError: The file has other sentences than the predictions.
        """
        source = self.paths[split]
        conllu = is_conllu(source)
        names = list(self.columns or CONLLU_COLUMNS)
        replace = names.index(column) if conllu else None
        write_conll(source, path, predictions, comment="#" if conllu else self.comment, replace=replace)


def is_conllu(path: str | Path) -> bool:
    """Whether the file's name says CoNLL-U."""
    return str(path).removesuffix(".gz").endswith(".conllu")


def read_conll(
    path: str | Path, columns: list[str] | None, comment: str | None, extra: str
) -> dict[str, list[list[str]]]:
    """Return the file's sentences: for each column one list of strings a sentence. See `CoNLL`."""
    conllu = is_conllu(path)
    names = tuple(columns or CONLLU_COLUMNS)
    comment = "#" if conllu else comment
    sentences: list[list[list[str]]] = []
    sentence: list[list[str]] = []
    for number, line in numbered_lines(path):
        if not line.strip(" \t"):
            if sentence:
                sentences.append(sentence)
                sentence = []
            continue
        if comment and line.startswith(comment):
            continue
        # Words of CoNLL-U may hold spaces. str.split() would also part a line at no-break spaces.
        fields = line.split("\t") if conllu or "\t" in line else re.split(" +", line.strip(" "))
        if not conllu and fields[0] == "-DOCSTART-":
            continue
        if len(fields) != len(names) and not (extra == "drop" and len(fields) > len(names)):
            raise ValueError(
                f"{path}:{number}: {len(fields)} columns, expected {len(names)} ({' '.join(names)}):"
                f" {line[:60]!r}; {_remedy(conllu, len(fields) > len(names), line)}"
            )
        if conllu and not fields[0].isdecimal():
            if not re.fullmatch(r"\d+[-.]\d+", fields[0]):
                raise ValueError(f"{path}:{number}: a token's id is a number, 1-2 or 1.1, not {fields[0]!r}")
            continue
        sentence.append(fields[: len(names)])
    if sentence:
        sentences.append(sentence)
    if not sentences:
        raise ValueError(f"{path}: no sentence in this file")
    return {
        name: [[token[column] for token in sentence] for sentence in sentences] for column, name in enumerate(names)
    }


def _remedy(conllu: bool, more: bool, line: str) -> str:
    if conllu:
        return "is the file cut off here, or are its tabs spaces?"
    if line.startswith("#"):
        return "if this is a comment, say what comments begin with (comment: '# ')"
    return 'name all columns, or extra: "drop" for those on the right' if more else "is the file cut off here?"
