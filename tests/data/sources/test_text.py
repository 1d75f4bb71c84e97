import pytest

from seqkit.data import Text

LINES = ["first line", "", "second  one", "third", "fourth and last"]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("\n".join(LINES) + "\n")
    return str(file)


def test_a_row_a_line(path):
    rows = Text(train=path, test=path).load()
    assert rows["test"]["text"][:] == rows["train"]["text"][:] == LINES
    assert rows["train"]["words"][2] == ["second", "one"]
    assert rows["train"]["words"][1] == []


def test_a_row_a_file(path):
    rows = Text(train=path, lines=False).load()["train"]
    assert rows["text"][:] == ["\n".join(LINES) + "\n"]
    assert rows.column_names == ["text"]


def test_line_ends_and_marks_of_other_systems(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo")
    assert Text(train=str(tmp_path / "a.txt"), lines=False).load()["train"]["text"][:] == ["one\ntwo\n"]


def test_shares_are_the_last_characters(tmp_path):
    (tmp_path / "a.txt").write_text("abcdefghijklmnopqrs\n" * 5)
    rows = Text(train=str(tmp_path / "a.txt"), validation=0.1, test=0.1, lines=False).load()
    texts = {split: rows[split]["text"][0] for split in rows}
    assert "".join(texts[split] for split in ("train", "validation", "test")) == "abcdefghijklmnopqrs\n" * 5
    assert {split: len(text) for split, text in texts.items()} == {"train": 81, "validation": 9, "test": 10}


def test_shares_of_lines_begin_with_a_line(path):
    rows = Text(train=path, test=0.5).load()
    assert rows["train"]["text"][:] == LINES[:3]
    assert rows["test"]["text"][:] == LINES[3:]


def test_files_win_over_shares(path, tmp_path):
    (tmp_path / "b.txt").write_text("other\n")
    rows = Text(train=path, validation=0.4, test=str(tmp_path / "b.txt")).load()
    assert rows["test"]["text"][:] == ["other"]
    assert rows["train"]["text"][:] + rows["validation"]["text"][:] == LINES


class TestBadInput:
    def test_no_file(self):
        with pytest.raises(ValueError, match="no file given"):
            Text(validation=0.1)

    def test_no_share(self, path):
        with pytest.raises(ValueError, match=r"test=1\.5: a share of the training file's characters lies between"):
            Text(train=path, test=1.5)

    def test_a_share_of_nothing(self, path):
        with pytest.raises(ValueError, match=r"validation=0\.1: .* needs that file; or name a file"):
            Text(test=path, validation=0.1)

    def test_an_empty_split(self, tmp_path):
        (tmp_path / "a.txt").write_text("one line\n")
        with pytest.raises(ValueError, match=r"a\.txt: of 9 characters none is left for test; take other shares"):
            Text(train=str(tmp_path / "a.txt"), test=0.1).load()

    def test_not_utf8(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
        with pytest.raises(ValueError, match=r"a\.txt:2: not UTF-8"):
            Text(train=str(tmp_path / "a.txt")).load()
