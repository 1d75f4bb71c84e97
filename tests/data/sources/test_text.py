import pytest

from seqkit.data import Text

LINES = ["first line", "", "second  one", "third", "fourth and last"]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("\n".join(LINES) + "\n")
    return str(file)


def test_one_row_per_line(path):
    rows = Text(train=path, test=path).load()
    assert rows["test"]["text"][:] == rows["train"]["text"][:] == LINES
    assert rows["train"]["words"][2] == ["second", "one"]
    assert rows["train"]["words"][1] == []


def test_one_row_per_file(path):
    rows = Text(train=path, lines=False).load()["train"]
    assert rows["text"][:] == ["\n".join(LINES) + "\n"]
    assert rows.column_names == ["text"]


def test_windows_line_ends_and_byte_order_mark(tmp_path):
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


def test_files_and_shares_together(path, tmp_path):
    (tmp_path / "b.txt").write_text("other\n")
    rows = Text(train=path, validation=0.4, test=str(tmp_path / "b.txt")).load()
    assert rows["test"]["text"][:] == ["other"]
    assert rows["train"]["text"][:] + rows["validation"]["text"][:] == LINES


class TestBadInput:
    def test_no_file(self):
        with pytest.raises(ValueError, match="no file given"):
            Text(validation=0.1)

    def test_share_out_of_range(self, path):
        with pytest.raises(ValueError, match=r"test=1\.5: a share of the training file's characters is between"):
            Text(train=path, test=1.5)

    def test_share_without_a_training_file(self, path):
        with pytest.raises(ValueError, match=r"validation=0\.1: .* needs a training file; or name a file"):
            Text(test=path, validation=0.1)

    def test_empty_split(self, tmp_path):
        (tmp_path / "a.txt").write_text("one line\n")
        with pytest.raises(
            ValueError, match=r"a\.txt: of 9 characters, none are left for test; choose other shares"
        ):
            Text(train=str(tmp_path / "a.txt"), test=0.1).load()

    def test_not_utf8(self, tmp_path):
        (tmp_path / "a.txt").write_bytes(b"one\n\xff\n")
        with pytest.raises(ValueError, match=r"a\.txt:2: not UTF-8"):
            Text(train=str(tmp_path / "a.txt")).load()
