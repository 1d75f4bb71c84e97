import io
import logging
import re
import sysconfig
import tokenize
from pathlib import Path

import numpy as np
import pytest

from seqkit.data.sources import PythonCode
from seqkit.data.sources.python_code import KINDS, blocks, character_kinds

LETTERS = dict(zip(KINDS, "wknbdDsNoc", strict=True))

SOURCE = '''\
#!/usr/bin/env python
"""Doc."""

import os
import sys  # both


# About f.
@cache.of(3)
def f(x: int = 1) -> str:

    # inside
    return print(x.print)
class A(B):
    """Doc of A."""

    size = 3

    # About g.
    @property
    async def g(self): pass

    class Inner: x = 1
    def h(self): ...

x = 1; y = 2
if x:
    def inner(): ...
# The end.
'''


def letters(source):
    kinds = character_kinds(source)
    assert len(kinds) == len(source)
    return "".join(LETTERS[KINDS[kind]] for kind in kinds)


class TestCharacterKinds:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("x = 1.5e3 # one\n", "nwowNNNNNwcccccw"),
            ("def print(): pass", "kkkwdddddoookkkk".replace("oook", "ooowk")),
            ("class A(B): x.str = str", "kkkkkwdonoownobbbwowbbb".replace("nobbb", "nonnn")),
            ("@a.b(c)\nasync def f(): ...", "DDDDonowkkkkkwkkkwdooowooo"),
            ("a @ b", "nwown"),
            ("is not None", "kkwkkkwkkkk"),
            ("x = 1 + \\\n 2", "nwowNwowowwN"),
            ('"""a\n😀""" + "é" # ä', "ssssssssswowssswccc"),
            ("f'{x!r:>{w}} {{}}' rb''", "sssssssssssssssssswssss"),
        ],
    )
    def test_kinds(self, source, expected):
        assert letters(source) == expected

    @pytest.mark.parametrize(
        ("source", "soft"),
        [
            ("match x:\n case 1: pass\n", {"match", "case"}),
            ("match (x):\n case [1, {2: 3}]: pass\n", {"match", "case"}),
            ("match -x:\n case -1: pass\n case _: pass\n", {"match", "case"}),
            ("match(x)\ncase[1] = 2\nmatch = case\ntype(x)\ntype = 3\n", set()),
            ("case(lambda: 0)\nmatch.case = {1: 2}\nre.match(x)\n", set()),
            ("type X = int\n", {"type"}),
        ],
    )
    def test_soft_keywords(self, source, soft):
        kinds = letters(source)
        words = {
            token.string
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.NAME
            and kinds[sum(map(len, source.splitlines(True)[: token.start[0] - 1])) + token.start[1]] == "k"
        }
        assert words - {"pass", "lambda"} == soft

    def test_every_token_of_a_real_file(self):
        source = Path(sysconfig.get_path("stdlib"), "textwrap.py").read_text()
        kinds = letters(source)
        starts = np.cumsum([0, *map(len, source.splitlines(True))])
        expected = {tokenize.NUMBER: {"N"}, tokenize.COMMENT: {"c"}, tokenize.STRING: {"s"}}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in expected:
                first, end = starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]
                assert set(kinds[first:end]) == expected[token.type]
        assert {kind for kind, character in zip(kinds, source, strict=True) if character.isspace()} <= set("wsc")

    def test_invalid_python(self):
        with pytest.raises((SyntaxError, tokenize.TokenError)):
            character_kinds("x = (")


class TestBlocks:
    def test_blocks(self):
        found = [SOURCE[first:end] for first, end in blocks(SOURCE)]
        assert found == [
            '#!/usr/bin/env python\n"""Doc."""',
            "import os\nimport sys  # both",
            "# About f.\n@cache.of(3)\ndef f(x: int = 1) -> str:\n\n    # inside\n    return print(x.print)",
            'class A(B):\n    """Doc of A."""',
            "    size = 3",
            "    # About g.\n    @property\n    async def g(self): pass",
            "    class Inner: x = 1",
            "    def h(self): ...",
            "x = 1; y = 2\nif x:\n    def inner(): ...",
            "# The end.",
        ]

    def test_text_between_blocks_is_white_space(self):
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]:
            with tokenize.open(path) as file:
                source = file.read()
            end = 0
            for first, following in blocks(source):
                assert end <= first < following
                assert not source[end:first].strip()
                end = following
            assert not source[end:].strip()

    @pytest.mark.parametrize(
        ("source", "expected"), [("", []), ("\n\n", []), ("# a", [(0, 3)]), ("\f\nx", [(2, 3)])]
    )
    def test_short_sources(self, source, expected):
        assert blocks(source) == expected

    def test_invalid_python(self):
        with pytest.raises(SyntaxError):
            blocks("def")


class TestPythonCode:
    @pytest.fixture
    def folder(self, tmp_path):
        for number in range(40):
            path = tmp_path / f"package{number % 3}" / f"module{number}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"x = {number}\n\ndef f{number}():\n    return 'é'\n\ny\n")
        for skipped in ("test", "site-packages"):
            (tmp_path / skipped).mkdir()
            (tmp_path / skipped / "bad.py").write_text("def")
        return tmp_path

    def rows(self, splits):
        return {(row["file"], row["line"], row["text"]) for rows in splits.values() for row in rows}

    def test_blocks_with_a_kind_per_character(self, folder):
        splits = PythonCode([str(folder)], validation=0.2, test=0.2).load()
        assert set(splits) == {"train", "validation", "test"}
        for rows in splits.values():
            assert all(len(row["text"]) == len(row["kinds"]) for row in rows)
        assert self.rows(splits) == {
            (f"package{n % 3}/module{n}.py", line, text)
            for n in range(40)
            for line, text in ((1, f"x = {n}"), (3, f"def f{n}():\n    return 'é'"))  # y is shorter than min_length
        }
        assert splits["train"].features["kinds"].feature.names == list(KINDS)
        row = next(row for row in splits["train"] if row["line"] == 3)
        assert row["kinds"] == character_kinds(row["text"]).tolist()

    def test_a_file_is_in_one_split_and_stays_there(self, folder):
        options = {"validation": 0.2, "test": 0.2}
        splits = PythonCode([str(folder)], **options).load()
        files = {split: set(rows["file"]) for split, rows in splits.items()}
        assert not files["train"] & files["test"]
        assert not files["validation"] & (files["train"] | files["test"])
        (folder / "another.py").write_text("z = 1\n")
        again = PythonCode([str(folder)], **options).load()
        assert {split: set(rows["file"]) - {"another.py"} for split, rows in again.items()} == files
        reseeded = PythonCode([str(folder)], seed=1, **options).load()
        assert set(reseeded["train"]["file"]) != files["train"]

    def test_stops_at_max_characters(self, folder):
        size = sum(path.stat().st_size for path in folder.glob("package*/*.py"))
        few = self.rows(PythonCode([str(folder)], max_characters=size // 4).load())
        half = self.rows(PythonCode([str(folder)], max_characters=size // 2).load())
        assert len({file for file, _, _ in half}) in (20, 21)
        assert few < half

    def test_cuts_long_blocks_after_a_line(self, tmp_path):
        (tmp_path / "a.py").write_text("def f():\n    a = 1\n    b = 2\n\ndef much_too_long_a_line(): pass\n")
        rows = PythonCode([str(tmp_path / "a.py")], max_length=20, validation=0, test=0).load()["train"]
        assert rows["text"][:] == ["def f():\n    a = 1"]
        assert rows["file"][:] == ["a.py"]

    def test_skips_files_that_it_cannot_parse(self, tmp_path, caplog):
        (tmp_path / "bad.py").write_text("print 'python 2'\n")
        (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")
        (tmp_path / "good.py").write_bytes(b"# coding: latin-1\nx = '\xe9\\d'\n")
        with caplog.at_level(logging.WARNING):
            rows = PythonCode([str(tmp_path)], validation=0, test=0).load()["train"]
        assert rows["text"][:] == ["# coding: latin-1\nx = 'é\\d'"]
        assert re.search(r"skipped .*bad\.py: this version of Python cannot parse it", caplog.text)
        assert re.search(r"skipped .*latin\.py: ", caplog.text)

    def test_no_file(self, tmp_path):
        with pytest.raises(ValueError, match=r"no \*\.py file in \["):
            PythonCode([str(tmp_path)]).load()
        with pytest.raises(FileNotFoundError, match="nowhere is neither a file nor a folder"):
            PythonCode([str(tmp_path / "nowhere")]).load()

    def test_reads_the_standard_library(self):
        splits = PythonCode(max_characters=400_000).load()
        lengths = np.array([len(text) for rows in splits.values() for text in rows["text"]])
        assert 200_000 < lengths.sum() < 1_500_000
        assert (lengths.min(), lengths.max()) >= (2, 1000)
        assert lengths.max() <= 2000
        assert {kind for row in splits["train"]["kinds"] for kind in row} == set(range(len(KINDS)))
