"""Python source code: its blocks, and the kind of each character."""

import ast
import builtins
import hashlib
import io
import itertools
import keyword
import logging
import os
import sysconfig
import token
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seqkit.data.sources.base import SPLITS, Source, parse_cached

KINDS = (
    "whitespace",
    "keyword",
    "name",
    "builtin",
    "definition",
    "decorator",
    "string",
    "number",
    "operator",
    "comment",
)

_, _KEYWORD, _NAME, _BUILTIN, _DEFINITION, _DECORATOR, _STRING, _NUMBER, _OPERATOR, _COMMENT = range(len(KINDS))
_BLANK = {tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_BUILTINS = {name for name in dir(builtins) if not name.startswith("_")}
_SOFT = {"match", "case", "type"}
# The tokenizer splits f-strings since Python 3.12; t-strings exist since 3.14.
_STRING_START = {getattr(token, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(token, name)}
_STRING_END = {getattr(token, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(token, name)}

# Installed packages, tests (some contain invalid code) and files of large tables.
_SKIPPED_FOLDERS = {
    "__pycache__",
    "dist-packages",
    "encodings",
    "idle_test",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
}

_log = logging.getLogger(__name__)


class PythonCode(Source):
    """Blocks of Python code with the kind of every character; by default of this interpreter's standard library.

    One row per block (see `blocks`): ``text``; ``kinds``, a list of `ClassLabel`, one per character (see
    `character_kinds`); ``file``, the path relative to its folder; ``line``, the first line of the block, from 1.

    A hash of its relative path assigns each file to a split. Files are read in the order of another hash until
    ``max_characters`` is reached. Files that this version of Python cannot parse are skipped with a log message.

    Args:
        paths: Files, and folders that are searched for ``*.py``. By default the standard library without its tests.
        max_characters: The number of characters to read, in all splits together; None reads everything.
        min_length: Shorter blocks are skipped.
        max_length: Longer blocks are cut after the last line that fits, or skipped if the first line does not fit.
        validation: The share of the files in the validation split.
        test: The share of the files in the test split.
        seed: Seed of the hashes that select and assign files.
    """

    def __init__(
        self,
        paths: list[str] | None = None,
        *,
        max_characters: int | None = 6_000_000,
        min_length: int = 2,
        max_length: int = 2000,
        validation: float = 0.05,
        test: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.paths = paths
        self.max_characters = max_characters
        self.min_length = min_length
        self.max_length = max_length
        self.validation = validation
        self.test = test
        self.seed = seed

    def load(self) -> datasets.DatasetDict:
        """Return the splits that have a file.

        Raises:
            FileNotFoundError: If a path does not exist.
            ValueError: If there is no Python file.
        """
        files = sorted(_files(self.paths or [sysconfig.get_path("stdlib")]))
        if not files:
            raise ValueError(f"no *.py file in {self.paths}; name other paths")
        shuffled = sorted((_hash_fraction(self.seed, "draw", name), name, root) for name, root in files)
        chosen: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
        characters = 0
        for _, name, root in shuffled:
            if self.max_characters is not None and characters >= self.max_characters:
                break
            characters += os.path.getsize(os.path.join(root, name))
            share = _hash_fraction(self.seed, "split", name)
            held_out = "test" if share < self.test else "validation"
            chosen[held_out if share < self.test + self.validation else "train"].append((name, root))

        features = datasets.Features(
            {
                "text": datasets.Value("string"),
                "kinds": datasets.List(datasets.ClassLabel(names=list(KINDS))),
                "file": datasets.Value("string"),
                "line": datasets.Value("int32"),
            }
        )
        lengths = {"min_length": self.min_length, "max_length": self.max_length}
        splits = {}
        for split, members in chosen.items():
            if members:
                paths = [os.path.join(root, name) for name, root in sorted(members)]
                options = {"names": [name for name, _ in sorted(members)], **lengths}
                splits[split] = parse_cached(read_blocks, paths, options, features, split)
        return datasets.DatasetDict(splits)


def character_kinds(source: str) -> NDArray[np.uint8]:
    r"""Return the kind of each character of a Python source, (len(source),), as indices into `KINDS`.

    The kinds are those of the `tokenize` module, with these exceptions: names are divided into definitions (after
    ``def`` and ``class``), decorators (with their ``@``), builtins (except attributes) and other names; ``match``,
    ``case`` and ``type`` are keywords where they begin a statement; an f-string is one string with all its parts.
    Only ``\n`` ends a line.

    Raises:
        tokenize.TokenError, SyntaxError: If the source is not valid Python.
    """
    kinds = np.zeros(len(source), dtype=np.uint8)
    line_starts = [0, *itertools.accumulate(map(len, io.StringIO(source)))]
    # A backslash at the end of a line is not a token.
    kinds[np.frombuffer(source.encode("utf-32-le"), dtype=np.uint32) == ord("\\")] = _OPERATOR
    for kind, (first_line, first), (last_line, last) in _spans_of_kinds(source):
        kinds[line_starts[first_line - 1] + first : line_starts[last_line - 1] + last] = kind
    return kinds


def blocks(source: str) -> list[tuple[int, int]]:
    """Return the blocks of a Python source as disjoint, ordered character ranges (first, end).

    A block is a function, a method, a class up to its first method, or a run of other top-level or class-level
    statements without a blank line between them. It includes the comments and decorators before it but no blank
    lines around it. Every character outside the blocks is white space.

    Raises:
        SyntaxError: If the source is not valid Python.
    """
    lines = list(io.StringIO(source))
    spans: list[tuple[int, int]] = []  # lines, from 0; a block begins where the one before it ends
    previous = ""
    for first, end, kind in _statements(_parse(source).body, lines):
        start = spans[-1][1] if spans else 0
        joins = kind == "statement" and previous in ("statement", "class")
        if spans and (first < start or (joins and not any(line.isspace() for line in lines[start:first]))):
            spans[-1] = spans[-1][0], max(start, end)
        else:
            spans.append((start, end))
        previous = kind
    spans.append((spans[-1][1] if spans else 0, len(lines)))  # comments at the end

    line_starts = [0, *itertools.accumulate(map(len, lines))]
    found = []
    for first, end in spans:
        while first < end and lines[first].isspace():
            first += 1
        while first < end and lines[end - 1].isspace():
            end -= 1
        if first < end:
            found.append((line_starts[first], line_starts[end] - lines[end - 1].endswith("\n")))
    return found


def read_blocks(*paths: str | Path, names: list[str], min_length: int, max_length: int) -> dict[str, Any]:
    """Return the columns of `PythonCode` for some files, whose column ``file`` is ``names``."""
    columns: dict[str, list[Any]] = {"text": [], "file": [], "line": []}
    kinds: list[NDArray[np.uint8]] = []
    for path, name in zip(paths, names, strict=True):
        try:
            with tokenize.open(path) as file:
                source = file.read()
            spans, of_source = blocks(source), character_kinds(source)
        except (SyntaxError, ValueError, LookupError, RecursionError, tokenize.TokenError) as error:
            _log.warning("skipped %s: this version of Python cannot parse it (%s)", path, error)
            continue
        for first, end in spans:
            if end - first > max_length:
                end = source.rfind("\n", first, first + max_length + 1)
            if end - first >= min_length:
                columns["text"].append(source[first:end])
                columns["file"].append(name)
                columns["line"].append(source.count("\n", 0, first) + 1)
                kinds.append(of_source[first:end])
    offsets = np.cumsum([0, *map(len, kinds)], dtype=np.int32)
    ids = np.concatenate([np.zeros(0, np.uint8), *kinds]).astype(np.int64)
    return {**columns, "kinds": pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))}


def _files(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of every Python file, relative to its folder, and the folder."""
    for path in paths:
        if os.path.isfile(path):
            yield os.path.basename(path), os.path.dirname(path)
        elif not os.path.isdir(path):
            raise FileNotFoundError(f"{path} is neither a file nor a folder")
        for folder, inner, names in os.walk(path):
            inner[:] = [name for name in inner if name not in _SKIPPED_FOLDERS]
            for name in names:
                if name.endswith(".py"):
                    yield Path(folder, name).relative_to(path).as_posix(), path


def _hash_fraction(seed: int, purpose: str, name: str) -> float:
    """Return a hash of the arguments as a number in [0, 1)."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():  # such as those of invalid escapes in strings
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _statements(body: list[ast.stmt], lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield first line, end line (from 0) and type of each statement; a class yields its head, then its body."""
    for node in body:
        first = _first_line(node)
        if not isinstance(node, ast.ClassDef):
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield first, node.end_lineno or node.lineno, "function" if function else "statement"
            continue
        end = _first_line(node.body[0])
        while end > first + 1 and (lines[end - 1].isspace() or lines[end - 1].lstrip().startswith("#")):
            end -= 1
        yield first, max(end, first + 1), "class"
        yield from _statements(node.body, lines)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1


def _spans_of_kinds(source: str) -> Iterator[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Yield kind, first position and end position (line from 1, column) of all text that is not white space."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in _BLANK]
    begins = True  # whether the token is the first of a logical line
    decorates = False
    previous = ""
    string_starts: list[tuple[int, int]] = []
    for index, (kind, text, start, end, _) in enumerate(tokens):
        if kind in _STRING_START:
            string_starts.append(start)
        elif kind in _STRING_END:
            start = string_starts.pop()
            if not string_starts:
                yield _STRING, start, end
        elif string_starts:
            continue
        elif kind == tokenize.NEWLINE:
            begins, decorates, previous = True, False, ""
            continue
        elif kind == tokenize.COMMENT:
            yield _COMMENT, start, end
            continue
        elif kind == tokenize.STRING:
            yield _STRING, start, end
        elif kind == tokenize.NUMBER:
            yield _NUMBER, start, end
        elif kind == tokenize.NAME:
            yield _DECORATOR if decorates else _name_kind(tokens, index, begins, previous), start, end
        else:
            decorates = (begins and text == "@") or (decorates and text == ".")
            yield _DECORATOR if decorates else _OPERATOR, start, end
        begins, previous = False, text


def _name_kind(tokens: list[tokenize.TokenInfo], index: int, begins: bool, previous: str) -> int:
    name = tokens[index].string
    if previous in ("def", "class"):
        return _DEFINITION
    if keyword.iskeyword(name) or (begins and name in _SOFT and _is_keyword_here(tokens, index)):
        return _KEYWORD
    return _BUILTIN if name in _BUILTINS and previous != "." else _NAME


def _is_keyword_here(tokens: list[tokenize.TokenInfo], index: int) -> bool:
    """Whether a ``match``, ``case`` or ``type`` at the beginning of a logical line is a keyword."""
    following = tokens[index + 1]
    if tokens[index].string == "type":
        return following.type == tokenize.NAME and not keyword.iskeyword(following.string)
    if following.type == tokenize.OP and following.string not in ("(", "[", "{", "-", "*"):
        return False
    depth = 0
    for kind, text, *_ in tokens[index + 1 :]:
        if kind == tokenize.NEWLINE:
            break
        if kind == tokenize.OP:
            depth += (text in "([{") - (text in ")]}")
            if text == ":" and not depth:
                return True
    return False
