import gzip
import json
from pathlib import Path
from typing import ClassVar

import datasets
import pytest
from jsonargparse import ArgumentParser

from seqkit import SequenceDataModule
from seqkit.data.sources import Files, SavedDataset, Source
from tests.data.sources.long_form.cases import READINGS, SEQUENCES

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


class TestLongForm:
    """A file with one row a step."""

    TEXT = "machine,hour,heat,state,model\n" + "".join(
        ",".join(
            "" if row[name] is None else str(row[name]) for name in ("machine", "hour", "heat", "state", "model")
        )
        + "\n"
        for row in (dict(zip(READINGS, row, strict=True)) for row in zip(*READINGS.values(), strict=True))
    )
    LONG: ClassVar = {"group": "machine", "order": "hour", "per_sequence": "model"}

    @pytest.fixture(autouse=True)
    def in_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("a.csv").write_text(self.TEXT)

    def test_csv(self):
        rows = Files("a.csv", **self.LONG).load()["train"]
        assert list(rows) == [{name: row[name] for name in row if name != "speed"} for row in SEQUENCES]
        kinds = {name: getattr(feature, "feature", feature).dtype for name, feature in rows.features.items()}
        assert {name: kinds[name] for name in ("hour", "heat")} == {"hour": "int64", "heat": "float64"}

    def test_other_formats(self):
        table = datasets.Dataset.from_dict(READINGS)
        table.to_parquet("a.parquet")
        table.to_json("a.jsonl")
        splits = Files("a.parquet", test="a.jsonl", vectors={"sensors": ["heat"]}, **self.LONG).load()
        for rows in splits.values():
            assert rows["machine"][:] == ["b", "a", "c"]
            assert rows["sensors"][:] == [[[2.5], [5.5], [0.5]], [[4.5], [1.5]], [[3.5]]]

    def test_a_group_in_two_files(self):
        lines = self.TEXT.splitlines(keepends=True)
        Path("b-0.csv").write_text("".join(lines[:4]))
        Path("b-1.csv").write_text("".join([lines[0], *lines[4:]]))
        assert Files("b-*.csv", **self.LONG).load()["train"]["hour"][:] == [[1, 2, 3], [0, 1], [7]]

    def test_sequences_are_cached_on_disk(self):
        first = Files("a.csv", **self.LONG).load()["train"]
        again = Files("a.csv", **self.LONG).load()["train"]
        assert first.cache_files
        assert first.cache_files == again.cache_files
        other = Files("a.csv", group="machine").load()["train"]
        assert other.cache_files != first.cache_files
        Path("a.csv").write_text(self.TEXT.replace("5.5", "6.5"))
        assert Files("a.csv", **self.LONG).load()["train"]["heat"][0] == [2.5, 6.5, 0.5]

    def test_as_a_stream(self):
        assert [row["hour"] for row in Files("a.csv", **self.LONG).stream()["train"]] == [[1, 2, 3], [0, 1], [7]]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "b,2,5.5",
                "b,3,5.5",
                r"train row 5 \(line 7 of a\.csv\) \(column 'hour'\): machine='b' has 3 in row 0",
            ),
            ("b,2,5.5", ",2,5.5", r"train row 5 \(line 7 of a\.csv\) \(column 'machine'\): there is no value"),
            (
                "b,2,5.5,hot,new",
                "b,2,5.5,hot,old",
                r"train row 5 \(line 7 of a\.csv\) \(column 'model'\): machine='b'",
            ),
            ("hour", "time", "train has no column 'hour'; it has machine, time"),
            ("\nb,1,2.5,", "\n\n\nb,3,2.5,", r"train row 2 \(line 6 of a\.csv\) \(column 'hour'\)"),
            ("b,1,2.5,", 'b,3,2.5,"x\ny"', r"train row 2 \(a\.csv\) \(column 'hour'\)"),
        ],
    )
    def test_errors_name_file_and_line(self, old, new, message):
        assert old in self.TEXT
        Path("a.csv").write_text(self.TEXT.replace(old, new))
        with pytest.raises(ValueError, match=message):
            Files("a.csv", **self.LONG).load()

    def test_errors_in_the_second_file_name_it(self):
        for name in ("b-0.csv", "b-1.csv"):
            Path(name).write_text(self.TEXT)
        with pytest.raises(ValueError, match=r"train row 8 \(line 4 of b-1\.csv\) \(column 'hour'\): machine='b'"):
            Files("b-*.csv", **self.LONG).load()

    def test_later_errors_name_the_group(self):
        Path("a.csv").write_text(self.TEXT.replace("4.5", ""))
        data = SequenceDataModule(Files("a.csv", **self.LONG), "heat", "state", max_tokens=9, validation_fraction=0)
        with pytest.raises(ValueError, match=r"train row 1 \(machine='a'\) \(column 'heat'\): there is no value"):
            _ = data.spec

    def test_options_of_the_command_line(self):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--source", type=Source)
        arguments = ["--source=seqkit.data.Files", "--source.train=a.csv", "--source.group=machine"]
        parsed = parser.parse_args([*arguments, "--source.order=hour", "--source.per_sequence=[model]"])
        rows = parser.instantiate(parsed).source.load()["train"]
        assert rows["model"][:] == ["new", "old", "new"]
        parsed = parser.parse_args([*arguments, '--source.vectors={"sensors": ["heat"]}'])
        assert "sensors" in parser.instantiate(parsed).source.load()["train"].column_names
