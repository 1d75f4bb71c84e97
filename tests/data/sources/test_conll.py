import gzip
import re

import pytest

from seqkit.data.sources import CoNLL

CONLLU = """\
# sent_id = 1
# text = I don't.
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

# sent_id = 2
1\t10 000\t10 000\tNUM\tCD\t_\t0\troot\t_\t_
2\t#\t#\tSYM\t#\t_\t1\tdep\t_\tSpaceAfter=No"""


def loaded(path, text, **options):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return CoNLL(str(path), **options).load()["train"]


class TestCoNLLU:
    @pytest.mark.parametrize("name", ["a.conllu", "a.conllu.gz"])
    def test_keeps_only_syntactic_words(self, tmp_path, name):
        rows = loaded(tmp_path / name, CONLLU)
        assert rows.column_names == [
            "id",
            "form",
            "lemma",
            "upos",
            "xpos",
            "feats",
            "head",
            "deprel",
            "deps",
            "misc",
        ]
        assert rows["form"][:] == [["I", "do", "n't"], ["10 000", "#"]]
        assert rows["upos"][:] == [["PRON", "AUX", "PART"], ["NUM", "SYM"]]
        assert rows["id"][:] == [["1", "2", "3"], ["1", "2"]]
        assert rows["misc"][1] == ["_", "SpaceAfter=No"]

    def test_windows_line_ends(self, tmp_path):
        assert loaded(tmp_path / "a.conllu", CONLLU.replace("\n", "\r\n"))["misc"][1] == ["_", "SpaceAfter=No"]

    def test_truncated_line(self, tmp_path):
        path = tmp_path / "a.conllu"
        message = (
            f"{path}:6: 4 columns, expected 10 (id form lemma upos xpos feats head deprel deps misc): "
            '"3\\tn\'t\\tnot\\tPA"; is the file truncated here, or are its tabs spaces?'
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            loaded(path, CONLLU[: CONLLU.index("PART") + 2])

    def test_invalid_id(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\.conllu:1: 'x' is not a token's id, such as 1, 1-2 or 1\.1"):
            loaded(tmp_path / "a.conllu", CONLLU[CONLLU.index("1\tI") :].replace("1\tI", "x\tI", 1))


class TestColumns:
    @pytest.mark.parametrize("blank", ["", "\t", "  \t "])
    def test_blank_lines_may_hold_tabs(self, tmp_path, blank):
        rows = loaded(
            tmp_path / "a.conll", f"{blank}\nEU\tB\n#1\tO\n{blank}\n{blank}\nx\tO", columns=["word", "tag"]
        )
        assert rows[:] == {"word": [["EU", "#1"], ["x"]], "tag": [["B", "O"], ["O"]]}

    def test_spaces_and_docstart(self, tmp_path):
        text = "-DOCSTART- -X- -X- O\n\nEU  NNP I-NP B-ORG\nrejects VBZ I-VP O \n\n"
        rows = loaded(tmp_path / "eng.train", text, columns=["tokens", "pos", "chunk", "ner"])
        assert rows["tokens"][:] == [["EU", "rejects"]]
        assert rows["ner"][:] == [["B-ORG", "O"]]

    def test_no_break_spaces_are_words(self, tmp_path):
        rows = loaded(tmp_path / "a.txt", "\xa0 O\n\u3000\tO\n", columns=["word", "tag"])
        assert rows["word"][:] == [["\xa0", "\u3000"]]

    def test_comments_need_a_prefix(self, tmp_path):
        text = "# id 1\n# O\n"
        assert loaded(tmp_path / "a.txt", text, columns=["w", "t"], comment="# id")["w"][:] == [["#"]]
        message = (
            r"a\.txt:1: 3 columns, expected 2 \(w t\): '# id 1'; if this is a comment, give the prefix of comments"
        )
        with pytest.raises(ValueError, match=message):
            loaded(tmp_path / "a.txt", text, columns=["w", "t"])

    def test_additional_columns(self, tmp_path):
        text = "EU\tB\tB-ORG\tO\nis\tO\tO\n"
        message = (
            r'a\.txt:1: 4 columns, expected 2 .*; name all columns, or drop those on the right \(extra: "drop"\)'
        )
        with pytest.raises(ValueError, match=message):
            loaded(tmp_path / "a.txt", text, columns=["w", "t"])
        assert loaded(tmp_path / "a.txt", text, columns=["w", "t"], extra="drop")["t"][:] == [["B", "O"]]
        with pytest.raises(ValueError, match=r"a\.txt:2: 3 columns, expected 4 .*; is the file truncated here\?"):
            loaded(tmp_path / "a.txt", text, columns=["w", "t", "u", "v"], extra="drop")

    def test_not_utf8(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(b"fine O\ncaf\xe9 O\n")
        with pytest.raises(ValueError, match=r"a\.txt:2: not UTF-8"):
            CoNLL(str(tmp_path / "a.txt"), columns=["w", "t"]).load()

    def test_no_sentence(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\.txt: no sentence in this file"):
            loaded(tmp_path / "a.txt", "\n\t\n", columns=["w", "t"])

    def test_columns_need_names(self):
        with pytest.raises(ValueError, match=r"a\.txt is not named \.conllu, so its columns have no names"):
            CoNLL("a.txt")
        with pytest.raises(ValueError, match=r"columns=\['w', 'w'\]: contains 'w' twice"):
            CoNLL("a.txt", columns=["w", "w"])


def test_loads_only_the_named_splits(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(f"{name} O\n")
    source = CoNLL(validation=str(tmp_path / "a"), test=str(tmp_path / "b"), columns=["w", "t"])
    assert {split: rows["w"][0] for split, rows in source.load().items()} == {"validation": ["a"], "test": ["b"]}


@pytest.mark.data
class TestRealFiles:
    def test_ewt(self, data_dir):
        folder = data_dir / "ud_ewt"
        train, dev, test = (
            f"{folder}/en_ewt-ud-{name}" for name in ("train.conllu.gz", "dev.conllu", "test.conllu")
        )
        splits = CoNLL(train, dev, test).load()
        assert {split: len(rows) for split, rows in splits.items()} == {
            "train": 12544,
            "validation": 2001,
            "test": 2077,
        }
        lengths = [len(words) for words in splits["train"]["form"]]
        assert (sum(lengths), min(lengths), max(lengths)) == (204_577, 1, 159)
        assert len({tag for tags in splits["train"]["upos"] for tag in tags}) == 17

    def test_wnut17(self, data_dir):
        folder = data_dir / "wnut17"
        names = ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated")
        splits = CoNLL(*(f"{folder}/{name}" for name in names), columns=["tokens", "tags"]).load()
        assert {split: len(rows) for split, rows in splits.items()} == {
            "train": 3394,
            "validation": 1009,
            "test": 1287,
        }
        assert sum(len(words) for words in splits["train"]["tokens"]) == 62_730
        tags = {tag for rows in splits.values() for row in rows["tags"] for tag in row}
        assert len(tags) == 13
        assert {tag[:2] for tag in tags} == {"O", "B-", "I-"}
        assert any(word.startswith("#") for words in splits["train"]["tokens"] for word in words)
