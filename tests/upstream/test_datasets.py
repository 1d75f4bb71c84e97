import datasets
import pyarrow as pa
from datasets import Dataset, Features, List, Value

from seqkit.upstream.datasets import cache_folder, fingerprint, view_indices, write_arrow

CHANGED = f"datasets {datasets.__version__} differs from 5.2.0: adapt seqkit.upstream.datasets.{{}}"


def test_cache_folder(datasets_cache):
    files = Dataset.from_generator(lambda: iter([{"x": 1}])).cache_files
    assert cache_folder() == datasets_cache
    assert files[0]["filename"].startswith(str(cache_folder())), CHANGED.format("cache_folder")


def test_fingerprint():
    message = CHANGED.format("fingerprint (a stable string that is different for different content)")
    dataset = Dataset.from_dict({"x": [3, 1, 2]})
    assert isinstance(dataset._fingerprint, str), message
    assert fingerprint(dataset) == fingerprint(Dataset.from_dict({"x": [3, 1, 2]})), message
    assert fingerprint(dataset) != fingerprint(dataset.select([1, 0])), message


def test_view_indices():
    message = CHANGED.format("view_indices (the row in the table for each row of a view)")
    dataset = Dataset.from_dict({"x": [3, 1, 2]})
    assert view_indices(dataset) is None, message
    for view, rows in ((dataset.select([2, 0]), [2, 0]), (dataset.filter(lambda row: row["x"] < 3), [1, 2])):
        indices = view_indices(view)
        assert isinstance(indices, pa.ChunkedArray), message
        assert indices.to_pylist() == rows, message
        assert view.data.column("x").to_pylist() == [3, 1, 2], message


def test_write_arrow(tmp_path):
    message = CHANGED.format("write_arrow (an Arrow file whose metadata hold features and fingerprint)")
    features = Features({"x": List(Value("int16"))})
    file = tmp_path / "rows.arrow"
    write_arrow(Dataset.from_dict({"x": [[1], [2, 3]]}, features).data.table, features, file, fingerprint="abc")
    read = Dataset.from_file(str(file))
    assert read.features == features, message
    assert read[:] == {"x": [[1], [2, 3]]}, message
    assert fingerprint(read) == "abc", message
    assert read.cache_files == [{"filename": str(file)}], message
