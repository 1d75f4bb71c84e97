import pytest

from seqkit.files import written_whole


def test_the_file_appears_when_all_is_written(tmp_path):
    path = tmp_path / "new" / "out.json"
    with written_whole(path) as beside:
        beside.write_text("text")
        assert beside.suffix == ".json"
        assert not path.exists()
    assert path.read_text() == "text"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("before")

    def interrupted():
        with written_whole(path) as beside:
            beside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
