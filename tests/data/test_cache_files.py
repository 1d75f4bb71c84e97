import datasets
import pytest

from seqkit.data import cache_files
from seqkit.data.cache_files import locked, rows_key


def test_the_key_of_rows(tmp_path):
    rows = datasets.Dataset.from_dict({"x": [1, 2]})
    assert rows_key(rows) == rows_key(datasets.Dataset.from_dict({"x": [1, 2]}))
    assert rows_key(rows) != rows_key(datasets.Dataset.from_dict({"x": [2, 1]}))
    keys = []
    for _ in range(2):
        rows.save_to_disk(tmp_path / "rows")
        keys.append(rows_key(datasets.load_from_disk(tmp_path / "rows")))
        assert rows_key(datasets.load_from_disk(tmp_path / "rows")) == keys[-1]
    assert keys[0] != keys[1]


def test_rows_whose_files_are_gone_have_no_key(tmp_path):
    datasets.Dataset.from_dict({"x": [1, 2]}).save_to_disk(tmp_path / "rows")
    rows = datasets.load_from_disk(tmp_path / "rows")
    next((tmp_path / "rows").glob("*.arrow")).unlink()
    assert rows_key(rows) != rows_key(rows)


@pytest.mark.parametrize("held", [True, False])
def test_the_block_runs_without_a_lock(tmp_path, monkeypatch, held):
    monkeypatch.setattr(cache_files, "_PATIENCE", 0.1)
    (tmp_path / "file").write_text("")
    file = tmp_path / "made" if held else tmp_path / "file" / "made"
    ran = []
    with locked(file), locked(file):
        ran.append(file)
    assert ran


def test_an_error_in_the_block_frees_the_lock(tmp_path):
    with pytest.raises(OSError, match="disk"), locked(tmp_path / "made"):
        raise OSError("disk")
    with locked(tmp_path / "made"):
        (tmp_path / "made").write_text("")
