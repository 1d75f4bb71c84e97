import errno
import os
from pathlib import Path

import pytest

from seqkit.data import Files
from seqkit.files import atomic_files, atomic_write, check_not_read, check_regular_file, private_folder


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "out.json"
    with atomic_write(path) as temporary:
        temporary.write_text("text")
        assert temporary.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "text"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("before")

    def interrupted():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file(tmp_path):
    path = tmp_path / "out.json"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the last to finish
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path):
    other, path = tmp_path / "other.json", tmp_path / "out.json"
    other.write_text("kept")
    path.symlink_to(other)
    with atomic_write(path) as temporary:
        assert temporary.parent.stat().st_mode & 0o777 == 0o700
        temporary.write_text("text")
    assert (path.read_text(), other.read_text(), path.is_symlink()) == ("text", "kept", False)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk_keeps_the_old_content_and_leaves_no_part(tmp_path, number):
    path = tmp_path / "out.json"
    path.write_text("before")

    def write():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=f"out.json: {os.strerror(number)}; free some space") as caught:
        write()
    assert caught.value.errno == number
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_names_the_nearest_one_with_its_folder(tmp_path):
    (tmp_path / "train.csv").touch()
    with pytest.raises(FileNotFoundError) as caught:
        check_regular_file(tmp_path / "trian.csv")
    assert caught.value.strerror == f"no such file; did you mean {str(tmp_path / 'train.csv')!r}?"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("seqkit.files.tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError, match=r"cannot write .*out.json: Permission denied.*in a writable folder"):
        private_folder(tmp_path / "out.json")


def test_what_stands_in_the_place_of_the_file_or_of_its_folder(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*folder: it is a folder"):
        private_folder(tmp_path / "folder")
    with pytest.raises(OSError, match=r"cannot write .*out.json"):
        private_folder(tmp_path / "file" / "out.json")
    assert (tmp_path / "file").read_text() == "kept"


class ASource:
    def __init__(self, inner):
        self.inner = inner

    def load(self):
        return None


@pytest.mark.parametrize("kind", ["same", "relative", "symbolic", "hard", "folder"])
def test_a_file_that_is_read_is_not_written_by_any_name(tmp_path, monkeypatch, kind):
    path = tmp_path / "rows.jsonl"
    path.write_text("{}")
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "out.jsonl"
    match kind:
        case "same":
            written = path
        case "relative":
            written = Path("rows.jsonl")
        case "symbolic":
            written.symlink_to(path)
        case "hard":
            written.hardlink_to(path)
        case "folder":
            (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
            written = tmp_path / "link" / "rows.jsonl"
    for read in (
        path,
        "rows.jsonl",
        "*.jsonl",
        [1, {"test": str(path)}],
        Files(test=str(path)),
        ASource(Files(test="r*.jsonl")),
        {"source": {"init_args": {"train": None, "test": path}}},
    ):
        with pytest.raises(ValueError, match=rf"{written} would be overwritten, but .* is read; give another path"):
            check_not_read(written, read)
    check_not_read(tmp_path / "new.jsonl", path)
    check_not_read(written, ["", "x" * 5000, "a\0b", None, 3])


def test_files_appear_when_the_block_ends(tmp_path):
    folder = tmp_path / "new" / "folder"
    with atomic_files(folder) as temporary:
        (temporary / "a").write_text("a")
        (temporary / "b").write_text("b")
        assert [path for path in folder.iterdir() if path != temporary] == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "a", "b": "b"}


@pytest.mark.parametrize("exists", [True, False])
def test_an_interrupted_write_of_files_changes_nothing(tmp_path, exists):
    folder = tmp_path / "folder"
    if exists:
        folder.mkdir()
        (folder / "a").write_text("before")

    def interrupted():
        with atomic_files(folder) as temporary:
            (temporary / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.read_text() for path in tmp_path.rglob("a")] == ["before"] * exists
    assert folder.exists() == exists
    with atomic_files(folder) as temporary:
        (temporary / "a").write_text("after")
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["after"]
