import re
from pathlib import Path

import datasets
import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest
from jsonargparse import ArgumentParser

from seqkit import SequenceDataModule
from seqkit.data import CoNLL, Continuous, Source, StepCost, Words

ROWS = {"words": [["a", "b"], ["b"], ["c", "a", "b"], ["a"]], "label": ["x", "y", "x", "y"]}


def make(source=None, **options):
    source = datasets.Dataset.from_dict(ROWS) if source is None else source
    return SequenceDataModule(source, **({"inputs": "words", "targets": "label", "max_tokens": 8} | options))


class OwnSource:
    def load(self):
        return datasets.DatasetDict(train=datasets.Dataset.from_dict(ROWS))


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "value", "error", "message"),
        [
            ("overlong", "cut", ValueError, "overlong='cut': must be one of 'raise', 'drop', 'truncate', 'solo'"),
            ("overlong", "truncat", ValueError, "did you mean 'truncate'?"),
            ("empty", "x", ValueError, "empty='x': must be one of 'raise', 'drop'"),
            ("empty", None, TypeError, "empty=None: must be one of 'raise', 'drop'"),
            ("budget", "bytes", ValueError, "budget='bytes': must be one of 'packed', 'padded'"),
            ("validation_fraction", -0.1, ValueError, "validation_fraction=-0.1: must be a number of at least 0"),
            ("validation_fraction", 1.5, ValueError, "validation_fraction=1.5: must be a number of at least 0"),
            (
                "validation_fraction",
                1,
                ValueError,
                "validation_fraction=1: must be a number of at least 0",
            ),
            ("validation_fraction", float("nan"), ValueError, "validation_fraction=nan: must be a number"),
            ("validation_fraction", True, TypeError, "validation_fraction=True: must be a number"),
            ("validation_fraction", None, TypeError, "validation_fraction=None: must be a number"),
            ("test_fraction", "0.1", TypeError, "test_fraction='0.1': must be a number"),
            (
                "test_fraction",
                0.95,
                ValueError,
                "test_fraction=0.95 leave no rows to train on",
            ),
            ("max_tokens", 2.5, TypeError, "max_tokens=2.5: must be an integer from 1 to"),
            ("max_tokens", True, TypeError, "max_tokens=True: must be an integer from 1 to"),
            ("max_tokens", "1024", TypeError, "max_tokens='1024': must be an integer from 1 to"),
            ("max_tokens", 10**30, ValueError, "must be an integer from 1 to"),
            ("max_sequences", 1.5, TypeError, "max_sequences=1.5: must be an integer from 1 to"),
            ("max_sequences", 0, ValueError, "max_sequences=0: must be an integer from 1 to"),
            ("batch_multiple", 0, ValueError, "batch_multiple=0: must be an integer from 1 to"),
            ("batch_multiple", None, TypeError, "batch_multiple=None: must be an integer from 1 to"),
            ("seed", -1, ValueError, "seed=-1: must be an integer from 0 to"),
            ("seed", 2**64, ValueError, "seed=18446744073709551616: must be an integer from 0 to"),
            ("seed", "7", TypeError, "seed='7': must be an integer from 0 to"),
            ("seed", None, TypeError, "seed=None: must be an integer from 0 to"),
            ("pool", 0, ValueError, "pool=0: must be an integer of at least 1"),
            ("pool", 1e4, TypeError, "pool=10000.0: must be an integer of at least 1"),
            ("num_workers", -1, ValueError, "num_workers=-1: must be an integer of at least 0"),
            ("num_workers", True, TypeError, "num_workers=True: must be an integer of at least 0"),
            ("streaming", "yes", TypeError, "streaming='yes': must be True or False"),
            ("longest_first", 1, TypeError, "longest_first=1: must be True or False"),
            ("predict_split", 3, TypeError, "predict_split=3: must be str"),
            ("weights", ["label"], TypeError, "weights=['label']: must be str or None"),
            ("cost", 2.0, TypeError, "cost=2.0: must be StepCost or None"),
            ("continuous", True, TypeError, "continuous=True: must be Continuous or None"),
            ("inputs", [], ValueError, "inputs=[]: name a column to learn from, or give a `spec`"),
            ("inputs", {}, ValueError, "inputs={}: name a column to learn from, or give a `spec`"),
            ("inputs", ["words", "words"], ValueError, "inputs=['words', 'words']: contains 'words' twice"),
            ("inputs", ["words", ""], ValueError, "contains ''; name a column once"),
            ("inputs", 3, TypeError, "inputs=3: must be a name or a list of names"),
            ("inputs", {"words": Words}, TypeError, "inputs['words']=<class 'seqkit.data.encoders.words.Words'>"),
            ("inputs", {"words": "Words"}, TypeError, "inputs['words']='Words': must be Encoder or None, not str"),
            ("inputs", {3: None}, TypeError, "must be a name or a list of names"),
            ("targets", ["label", "label"], ValueError, "contains 'label' twice"),
            ("targets", "words", ValueError, "'words' is an input and a target; give the input another name"),
            ("unaligned", 3, TypeError, "unaligned=3: must be a name or a list of names"),
        ],
    )
    def test_errors_name_the_option_the_value_and_what_is_allowed(self, option, value, error, message):
        with pytest.raises(error, match=re.escape(message)):
            make(**{option: value})

    def test_numbers_of_numpy(self):
        data = make(max_tokens=np.int64(8), seed=np.uint32(3), validation_fraction=np.float32(0.25))
        assert type(data.max_tokens) is type(data.seed) is int
        assert len(data.splits["validation"]) == 1

    def test_objects_as_options(self):
        data = make(cost=StepCost(per_batch=0), continuous=Continuous(batch_size=2), targets=None)
        assert data.cost.per_batch == 0

    def test_the_split_to_predict_of_a_known_source(self):
        splits = datasets.DatasetDict.fromkeys(("train", "unlabelled"), datasets.Dataset.from_dict(ROWS))
        assert make(splits, predict_split="unlabelled").predict_split == "unlabelled"
        with pytest.raises(ValueError, match=r"predict_split='unlabeled': must be .*; did you mean 'unlabelled'"):
            make(splits, predict_split="unlabeled")

    def test_the_split_to_predict_of_another_source(self):
        data = make(OwnSource(), predict_split="tran")
        with pytest.raises(ValueError, match=r"the source has no split 'tran', only .*; did you mean 'train'"):
            data.predict_dataloader()

    def test_columns_that_the_spec_does_not_have(self):
        spec = make().spec
        assert make(inputs=None, targets=None, spec=spec).spec == spec
        with pytest.raises(ValueError, match=r"inputs: 'word' is not in the data spec, .*; did you mean 'words'"):
            make(inputs="word", spec=spec)
        with pytest.raises(ValueError, match="targets: 'tags' is not in the data spec, which has"):
            make(targets="tags", spec=spec)

    @pytest.mark.parametrize("spec", [3, [], {}, {"inputs": {}, "targets": {}}, "spec.json"])
    def test_garbage_as_spec(self, spec):
        with pytest.raises((TypeError, ValueError), match=r"^spec"):
            make(spec=spec)


class TestSource:
    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("train.csv", "source is a str, .*; name a source that reads it, such as seqkit.data.Files"),
            (OwnSource, "source is a ABCMeta|type, .*; create one: OwnSource"),
            (Path("train.csv"), "source is a .*; name a source that reads it, such as seqkit.data.Files"),
            (
                3,
                "an object of type int has no rows to load; give a list of dicts, a dict of columns, a",
            ),
            (object(), "an object of type object has no rows to load; give"),
            ({"train": 3}, "an object of type int has no rows to load; give"),
            ({"words": 3}, r"column .words. is 3 \(int\); give a list or an array with one value a row"),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_what_has_no_rows(self, source, message):
        with pytest.raises(TypeError, match=message):
            make(source)

    def test_any_object_with_load(self):
        data = make(OwnSource(), validation_fraction=0)
        assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == [0, 1, 2, 3]

    def test_any_object_with_load_as_a_stream(self):
        data = make(OwnSource(), streaming=True)
        assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == [0, 1, 2, 3]

    def test_any_class_with_load_in_a_config(self):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--source", type=Source)
        parsed = parser.parse_args([f"--source={__name__}.OwnSource"])
        assert isinstance(parser.instantiate(parsed).source, OwnSource)
        assert issubclass(OwnSource, Source)
        assert not issubclass(datasets.DatasetDict, Source)
        assert not issubclass(OwnSource, CoNLL)

    def test_a_plain_dict_of_datasets(self):
        data = make({"train": datasets.Dataset.from_dict(ROWS)}, validation_fraction=0)
        assert len(data.rows("train")) == 4

    @pytest.mark.parametrize("loaded", [None, {}, ROWS, [1], {"train": ROWS}])
    def test_load_that_returns_no_splits(self, loaded):
        class Broken:
            def load(self):
                return loaded

        with pytest.raises(TypeError, match=r"Broken.load\(\) returned .*; it must return a datasets.DatasetDict"):
            _ = make(Broken()).splits


class TestMisspeltColumns:
    def test_an_input(self):
        with pytest.raises(ValueError, match=r"train has no column 'word'; .* did you mean 'words'"):
            _ = make(inputs="word").spec

    def test_a_target(self):
        with pytest.raises(ValueError, match=r"train has no column 'lable'; .* did you mean 'label'"):
            _ = make(targets="lable").spec

    def test_weights(self):
        data = make(weights="lables", validation_fraction=0)
        with pytest.raises(ValueError, match=r"weights: train has no column 'lables'; .* did you mean 'label'"):
            data.train_dataloader()


RECORDS = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
FORMS = [
    ROWS,
    RECORDS,
    pandas.DataFrame(ROWS),
    polars.DataFrame(ROWS),
    pa.table(ROWS),
    datasets.Dataset.from_dict(ROWS),
]
NAMES = ["columns", "records", "pandas", "polars", "arrow", "dataset"]


@pytest.mark.parametrize("rows", FORMS, ids=NAMES)
class TestRowsInMemory:
    def test_are_a_training_split(self, rows):
        data = make(rows, validation_fraction=0)
        assert list(data.splits) == ["train"]
        assert data.spec == make(validation_fraction=0).spec
        assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == [0, 1, 2, 3]

    @pytest.mark.parametrize("names", [("train", "test"), ("train", "unlabelled")])
    def test_by_split(self, rows, names):
        data = make(dict.fromkeys(names, rows), validation_fraction=0, predict_split=names[1])
        assert list(data.splits) == list(names)
        assert sum(len(batch.rows) for batch in data.predict_dataloader()) == 4

    def test_as_a_stream(self, rows):
        data = make(rows, streaming=True)
        assert sorted(row for batch in data.train_dataloader() for row in batch.rows.tolist()) == [0, 1, 2, 3]

    def test_have_no_cache(self, rows, datasets_cache):
        def files():
            return sorted(str(file) for file in datasets_cache.rglob("*"))

        before = files()
        data = make(rows, validation_fraction=0)
        assert data.spec
        assert len(data.rows("train")) == 4
        assert data.splits["train"].cache_files == []
        assert files() == before

    def test_a_missing_column_is_named(self, rows):
        with pytest.raises(ValueError, match=r"train has no column 'word'; .* did you mean 'words'"):
            _ = make(rows, inputs="word").spec


class TestForms:
    """What a list or a dict may be."""

    def test_arrays_by_split(self):
        series = [np.ones((3, 2)), np.zeros((5, 2))]
        data = SequenceDataModule({"train": series, "test": series}, "values", max_tokens=8, validation_fraction=0)
        assert data.spec["inputs"]["values"]["size"] == 2
        batch = data.rows("test")[[0, 1]]
        assert batch.rows.tolist() == [1, 0]
        assert batch.inputs["values"].data.shape == (8, 2)

    def test_arrays_as_a_column(self):
        data = make({"words": [np.ones(3), np.zeros(5)], "label": ["x", "y"]}, validation_fraction=0)
        assert data.spec["inputs"]["words"]["kind"] == "features"

    def test_a_dict_with_the_name_of_a_split_among_its_columns(self):
        data = make({**ROWS, "test": [1, 2, 3, 4]}, validation_fraction=0)
        assert list(data.splits) == ["train"]

    def test_a_mix_of_forms(self):
        stream = datasets.Dataset.from_dict(ROWS).to_iterable_dataset()
        data = make({"train": pandas.DataFrame(ROWS), "validation": RECORDS, "test": stream})
        assert {split: type(rows).__name__ for split, rows in data.splits.items()} == {
            "train": "Dataset",
            "validation": "Dataset",
            "test": "IterableDataset",
        }

    def test_errors_name_split_row_and_column(self):
        message = r"test row 1 \(column 'label'\): 3 \(int\), but row 0 has 'x' \(str\); all values"
        with pytest.raises(ValueError, match=message):
            make({"train": ROWS, "test": {"words": [["a"], ["b"]], "label": ["x", 3]}})
        with pytest.raises(ValueError, match=r"train row 1: has no 'label', but row 0 has 'words', 'label'"):
            make([{"words": ["a"], "label": "x"}, {"words": ["a"]}])
        with pytest.raises(ValueError, match="train: there are no rows"):
            make([])

    def test_the_split_to_predict_is_no_column(self):
        with pytest.raises(ValueError, match="predict_split='label': must be one of"):
            make({"train": ROWS}, predict_split="label")
