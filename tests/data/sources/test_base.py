import datasets
import pytest

from seqkit.data.sources import base
from seqkit.data.sources.base import parse_cached, split_paths
from seqkit.data.sources.conll import CoNLL
from seqkit.upstream.datasets import fingerprint

FEATURES = datasets.Features({"x": datasets.Value("int64")})
calls = []


def parse(path, factor):
    calls.append(path)
    return {"x": [factor * int(path.read_text())]}


def double(dataset):
    return dataset.map(_doubled)


def _doubled(row):
    return {"x": 2 * row["x"]}


class TestParseCached:
    def test_parses_an_unchanged_file_once(self, tmp_path):
        path = tmp_path / "number"
        path.write_text("3")
        calls.clear()
        first = parse_cached(parse, [path], {"factor": 2}, FEATURES, "train")
        again = parse_cached(parse, [path], {"factor": 2}, FEATURES, "validation")
        assert calls == [path]
        assert first[:] == again[:] == {"x": [6]}
        assert (first.split, again.split) == ("train", "validation")
        assert fingerprint(first) == fingerprint(again)

    def test_parses_again_for_other_content_or_options(self, tmp_path):
        path = tmp_path / "number"
        path.write_text("3")
        assert parse_cached(parse, [path], {"factor": 5}, FEATURES, "train")["x"][0] == 15
        assert parse_cached(parse, [path], {"factor": 6}, FEATURES, "train")["x"][0] == 18
        path.write_text("4")
        assert parse_cached(parse, [path], {"factor": 5}, FEATURES, "train")["x"][0] == 20

    def test_the_name_of_a_file_may_decide_how_it_is_parsed(self, tmp_path):
        found = []
        for name in ("a.conllu", "a.conll", "b.conllu"):
            (tmp_path / name).write_text("# b\n1 b\n".replace(" ", "\t"))
            rows = CoNLL(str(tmp_path / name), columns=["id", "form"]).load()["train"]
            found.append(rows["id"][0])
        assert found == [["1"], ["#", "1"], ["1"]]

    def test_parses_again_with_other_code(self, tmp_path, monkeypatch):
        path = tmp_path / "number"
        path.write_text("8")
        calls.clear()
        for code in ("old", "new", "old"):
            monkeypatch.setattr(base, "code_key", lambda *modules, code=code: f"{code} {modules}")
            parse_cached(parse, [path], {"factor": 1}, FEATURES, "train")
        assert len(calls) == 2

    def test_map_is_cached_on_disk(self, tmp_path):
        path = tmp_path / "number"
        path.write_text("7")
        mapped = [double(parse_cached(parse, [path], {"factor": 1}, FEATURES, "train")) for _ in range(2)]
        assert mapped[0].cache_files
        assert mapped[0].cache_files == mapped[1].cache_files

    def test_a_failed_parse_leaves_no_file(self, tmp_path, datasets_cache):
        path = tmp_path / "number"
        path.write_text("not a number")
        before = sorted((datasets_cache / "seqkit").glob("*"))
        with pytest.raises(ValueError, match="invalid literal"):
            parse_cached(parse, [path], {"factor": 1}, FEATURES, "train")
        assert sorted((datasets_cache / "seqkit").glob("*")) == before


def test_split_paths():
    with pytest.raises(ValueError, match="no file given: name at least one of train, validation and test"):
        split_paths()
    assert split_paths(test="b", train="a") == {"train": "a", "test": "b"}
