import datasets
import pytest

from seqkit.data.sources import Hub


@pytest.fixture
def repository(tmp_path):
    """A local folder like a hub repository; `load_dataset` reads both in the same way."""
    (tmp_path / "data").mkdir()
    for split in ("train", "test", "unsupervised"):
        datasets.Dataset.from_dict({"text": [f"{split} {n}" for n in range(10)]}).to_parquet(
            tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        )
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        + "".join(f"  - split: {s}\n    path: data/{s}-*\n" for s in ("train", "test", "unsupervised"))
        + "---\n"
    )
    return str(tmp_path)


def test_default_splits_have_the_standard_names(repository):
    assert {split: len(rows) for split, rows in Hub(repository).load().items()} == {"train": 10, "test": 10}


def test_slices(repository):
    splits = Hub(repository, splits={"train": "train[:80%]", "validation": "train[80%:]"}).load()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 8, "validation": 2}
    assert splits["validation"]["text"][:] == ["train 8", "train 9"]


def test_splits_with_other_names(tmp_path):
    datasets.Dataset.from_dict({"x": [1]}).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: full\n    path: a.parquet\n---\n"
    )
    with pytest.raises(ValueError, match=r"has the splits full; name those to use, e\.g\. splits: \{train: full\}"):
        Hub(str(tmp_path)).load()


def test_unknown_split():
    with pytest.raises(ValueError, match="splits has the keys dev; use train, validation, test"):
        Hub("owner/name", splits={"dev": "validation"})
