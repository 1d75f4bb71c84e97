import gzip
import json

import datasets
import pytest

from seqkit.data.sources import Files, SavedDataset

ROWS = {"words": [["a", "b"], ["c"]], "label": [1, 0]}


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json", "a.ndjson.gz"])
def test_the_extension_gives_the_format(tmp_path, name):
    path = tmp_path / name
    lines = [json.dumps(dict(zip(ROWS, row, strict=True))) for row in zip(*ROWS.values(), strict=True)]
    if path.suffix == ".parquet":
        datasets.Dataset.from_dict(ROWS).to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(f"[{', '.join(lines)}]")
    else:
        text = "\n".join(lines)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    splits = Files(validation=str(path)).load()
    assert list(splits) == ["validation"]
    assert splits["validation"][:] == ROWS


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_reads_tables(tmp_path, name, separator):
    (tmp_path / name).write_text(f"text{separator}label\none{separator}1\ntwo{separator}2\n")
    assert Files(str(tmp_path / name)).load()["train"][:] == {"text": ["one", "two"], "label": [1, 2]}


def test_splits_of_different_formats(tmp_path):
    datasets.Dataset.from_dict(ROWS).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(json.dumps({"words": ["z"], "label": 7}))
    splits = Files(str(tmp_path / "a.parquet"), test=str(tmp_path / "b.jsonl")).load()
    assert splits["train"][:] == ROWS
    assert splits["test"][:] == {"words": [["z"]], "label": [7]}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"x": 1}\n{"x": \n', r"a\.jsonl \(train\) is not readable as json: line 2: Expecting value"),
        ("a.json", '[{"x": 1}, {"x":', r"a\.json \(train\) is not readable as json: "),
        ("a.jsonl", "", r"a\.jsonl is empty \(0 bytes\); write or download"),
        ("a.csv", "x,y\n1,2\n1,2,3\n", r"a\.csv \(train\) is not readable as csv: .*line 3, saw 3"),
        (
            "a.parquet",
            "no parquet",
            r"a\.parquet \(train\) is not readable as parquet: .*Parquet magic bytes not found",
        ),
    ],
)
def test_broken_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        Files(str(tmp_path / name)).load()


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Files(str(tmp_path / "nowhere.csv")).load()


def test_unknown_extension():
    with pytest.raises(
        ValueError, match=r"a\.xlsx: the extension is none of \.parquet \.json .*, so the format is unknown"
    ):
        Files("a.xlsx")


class TestSavedDataset:
    def test_dataset_dict(self, tmp_path):
        rows = datasets.Dataset.from_dict(ROWS)
        datasets.DatasetDict(train=rows, test=rows.select([1])).save_to_disk(tmp_path / "saved")
        splits = SavedDataset(str(tmp_path / "saved")).load()
        assert splits["train"][:] == ROWS
        assert splits["test"]["label"][:] == [0]

    def test_a_dataset_is_the_training_split(self, tmp_path):
        datasets.Dataset.from_dict(ROWS).save_to_disk(tmp_path / "saved")
        assert SavedDataset(str(tmp_path / "saved")).load()["train"][:] == ROWS

    def test_no_dataset(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            SavedDataset(str(tmp_path)).load()
