import pytest

from seqkit.files import atomic_write


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
