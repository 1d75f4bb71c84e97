"""What strangers give: each source refuses it with a message that says what to do."""

import errno
import gzip
import os
import re
import stat
from pathlib import Path

import datasets
import pytest

from seqkit.data import CMAPSS, CMUdict, CoNLL, Files, PythonCode, SavedDataset, Text, TimeSeries, TokenizerFile
from seqkit.data.sources import base

HEADER = "@dimensions 1\n@classLabel true a b\n@data\n"


def engine(unit, cycle=1, **changed):
    fields = [str(unit), str(cycle), *["0.5"] * 24]
    for column, value in changed.items():
        fields[int(column[1:])] = value
    return " ".join(fields) + "\n"


def word(number, form="a"):
    return "\t".join([str(number), form, *["_"] * 8]) + "\n"


def conllu(*ids):
    return "".join(map(word, ids)) + "\n"


def read(name):
    """The source that reads a file of this name."""
    name = name.removesuffix(".gz")
    if name.endswith(".conllu"):
        return CoNLL(name)
    if name.endswith(".ts"):
        return TimeSeries(name)
    if name.startswith("engines"):
        return CMAPSS(name)
    return CMUdict(name) if name.endswith(".dict") else Files(name)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        # C-MAPSS
        ("engines.txt", engine(1) + engine(1.5), "engines.txt:2: engine 1.5 is not a whole number"),
        ("engines.txt", engine("nan"), "engines.txt:1: column 1 is nan; give a finite number"),
        ("engines.txt", engine("inf"), "engines.txt:1: column 1 is inf; give a finite number"),
        ("engines.txt", engine(-1), "engines.txt:1: engine -1.0 is not a whole number"),
        ("engines.txt", engine(1e12), "engines.txt:1: engine 1000000000000.0 is not a whole number"),
        ("engines.txt", engine(1) + engine(2) + engine(1), "engines.txt:3: engine 1 occurs again, after engine 2"),
        ("engines.txt", engine(1) + engine(1), "engines.txt:2: engine 1 has cycle 1, expected 2"),
        ("engines.txt", engine(1, 1.5), "engines.txt:1: engine 1 has cycle 1.5, expected 1"),
        ("engines.txt", engine(1, c7="nan"), "engines.txt:1: column 8 is nan; give a finite number"),
        (
            "engines.txt",
            engine(1, c7="x"),
            "engines.txt:1: could not convert string to float: 'x'; correct",
        ),
        ("engines.txt", "", "engines.txt: no engine in this file"),
        # CoNLL-U
        ("a.conllu", conllu(1, 1), "a.conllu:2: id 1, expected 2; ids count a sentence's words"),
        ("a.conllu", conllu(1, 2, 2), "a.conllu:3: id 2, expected 3"),
        ("a.conllu", conllu(2, 1), "a.conllu:1: id 2, expected 1"),
        ("a.conllu", conllu(1, 3), "a.conllu:2: id 3, expected 2"),
        ("a.conllu", conllu(0, 1), "a.conllu:1: id 0, expected 1"),
        ("a.conllu", conllu("1a"), "a.conllu:1: '1a' is not a token's id"),
        ("a.conllu", conllu(1, 2) + conllu(1, 2)[:-1] + conllu(1), "a.conllu:6: id 1, expected 3; .* blank line"),
        ("a.conllu", conllu("1-2", 1, "1-2", 2), "a.conllu:3: id 1-2: the multiword token before it ends at 2"),
        ("a.conllu", conllu(1, "1-2", 2), "a.conllu:2: id 1-2, expected 2-2"),
        ("a.conllu", conllu("2-1", 1), "a.conllu:1: id 2-1, expected 1-1"),
        ("a.conllu", conllu(1, "1.1", "1.1"), "a.conllu:3: id 1.1, expected 1.2"),
        ("a.conllu", conllu(1, "2.1"), "a.conllu:2: id 2.1, expected 1.1"),
        ("a.conllu", conllu("x"), "a.conllu:1: 'x' is not a token's id, such as 1, 1-2 or 1.1"),
        ("a.conllu", conllu("1.1.1"), "a.conllu:1: '1.1.1' is not a token's id"),
        ("a.conllu", "", "a.conllu: no sentence in this file"),
        # .ts
        ("a.ts", "@dimensions 0\n@data\n1,2\n", "a.ts:1: @dimensions: expected a whole number of at least 1"),
        ("a.ts", "@seriesLength 0\n@data\n1,2\n", "a.ts:1: @seriesLength: expected a whole number of at least 1"),
        ("a.ts", "@dimensions -1\n@data\n1,2\n", "a.ts:1: @dimensions: expected a whole number of at least 1"),
        (
            "a.ts",
            "@univariate true\n@dimensions 3\n@data\n1,2\n",
            "@univariate and @dimensions declare .1, 3.",
        ),
        ("a.ts", "@classLabel true a b a\n@data\n1:a\n", "a.ts:1: @classLabel: label 'a' is declared twice"),
        ("a.ts", "@classLabel true a b\n@targetLabel true\n@data\n1:a\n", "a.ts:2: @targetLabel: @class"),
        ("a.ts", "@classLabel true a b\n@data\na\n", "a.ts: the first series has a label but no channel"),
        ("a.ts", "@classLabel\n@data\n1\n", "a.ts:1: @classLabel: expected true or false, found ''"),
        ("a.ts", HEADER + "1,,2:a\n", "a.ts:4: expected a number, found ''"),
        ("a.ts", HEADER + "1:2:a\n", "a.ts:4: 2 channels, expected 1"),
        ("a.ts", HEADER, "a.ts: no series after @data"),
        ("a.ts", "", "a.ts: no line @data"),
        # others
        ("a.dict", "", "a.dict: no word in this file"),
        ("a.csv", "", "a.csv is empty .0 bytes.; write or download it again"),
        ("a.parquet", "", "a.parquet is empty .0 bytes."),
        ("a.parquet", "PAR1garbage", "a.parquet .train. is not readable as parquet"),
        ("a.json", "{", "a.json .train. is not readable as json"),
    ],
)
def test_malformed_files(name, content, message):
    Path(name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read(name).load()


def test_ids_of_multiword_tokens_and_empty_nodes():
    sentences = [("0.1", "1-2", 1, "1.1", "1.2", 2, 3, "4-4", 4), (1,), ("1-3", 1, 2, 3)]
    Path("a.conllu").write_text("".join(conllu(*ids) for ids in sentences))
    rows = CoNLL("a.conllu").load()["train"]
    assert rows["id"][:] == [["1", "2", "3", "4"], ["1"], ["1", "2", "3"]]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.conllu", "a.ts", "engines.txt", "a.dict"])
class TestPaths:
    def test_a_folder(self, name):
        os.mkdir(name)
        with pytest.raises(ValueError, match=f"{name} is a folder; name a file"):
            read(name).load()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    def test_a_pipe(self, name):
        os.mkfifo(name)
        with pytest.raises(ValueError, match=f"{name} is a pipe or a device; write its content to a file"):
            read(name).load()

    @pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices here")
    def test_a_device(self, name):
        os.symlink("/dev/null", name)
        with pytest.raises(ValueError, match=f"{name} is a pipe or a device; write its content to a file"):
            read(name).load()

    def test_a_missing_file(self, name):
        Path(f"{name}x").touch()
        with pytest.raises(FileNotFoundError, match=f"no such file; did you mean '{name}x'"):
            read(name).load()

    def test_a_file_cut_short(self, name):
        content = gzip.compress(os.urandom(20_000).hex().encode())
        Path(name).write_bytes(content[: len(content) // 2])  # it begins like a gzip file
        with pytest.raises(ValueError, match=f"{name}"):
            read(name).load()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_among_other_files():
    os.mkfifo("tokenizer.json")
    with pytest.raises(ValueError, match=r"tokenizer.json is a pipe or a device"):
        TokenizerFile("tokenizer.json")
    with pytest.raises(ValueError, match=r"tokenizer.json is a pipe or a device"):
        Text("tokenizer.json").load()
    os.mkfifo("a.py")
    assert stat.S_ISFIFO(os.stat("a.py").st_mode)
    with pytest.raises(ValueError, match=r"a.py is a pipe or a device|no \*.py file|a.py is neither"):
        PythonCode(["."]).load()


def test_streams_check_their_files():
    with pytest.raises(FileNotFoundError, match="no such file"):
        Files("a.csv").stream()
    with pytest.raises(FileNotFoundError, match=r"no file matches a\*.csv"):
        Files("a*.csv").stream()


@pytest.mark.parametrize("source", [Files, CoNLL, TimeSeries])
def test_a_path_of_another_type(source):
    with pytest.raises(TypeError, match=r"train=3: must be .* or None, not int"):
        source(3)


def test_a_saved_dataset_that_is_none():
    with pytest.raises(FileNotFoundError, match="rows is no folder; name a folder written by save_to_disk"):
        SavedDataset("rows").load()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_cannot_be_written(number, monkeypatch, tmp_path):
    def write(table, features, path, *, fingerprint):
        path.write_bytes(b"half of it")
        raise OSError(number, os.strerror(number))

    Path("a.conllu").write_text(conllu(1, 2))
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    with monkeypatch.context() as patch:
        patch.setattr(base, "write_arrow", write)
        with pytest.raises(OSError, match=re.escape(os.strerror(number)) + ".*HF_DATASETS_CACHE") as caught:
            CoNLL("a.conllu").load()
    assert caught.value.errno == number
    assert [file for file in cache.rglob("*") if file.is_file() and file.suffix != ".lock"] == []
    assert CoNLL("a.conllu").load()["train"]["id"][:] == [["1", "2"]]
