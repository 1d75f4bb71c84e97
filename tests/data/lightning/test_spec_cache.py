from weakref import WeakValueDictionary

import datasets
import pytest
from datasets import Dataset, load_from_disk

from seqkit import class_paths
from seqkit.data import Features, Labels, Words
from seqkit.data.lightning import spec_cache
from seqkit.data.lightning.spec_cache import learn_spec_once

INPUTS, TARGETS = {"words": None, "series": None}, {"tags": None}


@pytest.fixture
def train(splits, tmp_path):
    splits["train"].save_to_disk(tmp_path / "train")
    return load_from_disk(tmp_path / "train")


@pytest.fixture
def learned(monkeypatch):
    """The columns of the specs that are learned, one after the other."""
    calls = []
    original = spec_cache.learn_spec

    def learn(train, inputs, *others):
        calls.append(list(inputs))
        return original(train, inputs, *others)

    monkeypatch.setattr(spec_cache, "learn_spec", learn)
    return calls


def test_the_spec_of_rows_on_disk_is_learned_once(train, learned, tmp_path):
    first = learn_spec_once(train, INPUTS, TARGETS, [])
    again = learn_spec_once(load_from_disk(tmp_path / "train"), INPUTS, TARGETS, [])
    assert learned == [["words", "series"]]
    assert repr(first) == repr(again) == repr(spec_cache.learn_spec(train, INPUTS, TARGETS, []))


@pytest.mark.parametrize(
    ("inputs", "targets", "unaligned"),
    [
        ({"words": None}, TARGETS, []),
        ({"series": None, "words": None}, TARGETS, []),
        ({"words": Words(lowercase=True), "series": None}, TARGETS, []),
        ({"words": None, "series": Features(mean=[1.0, 2.0], std=[1.0, 1.0])}, TARGETS, []),
        ({"words": None, "other": Words(column="words")}, TARGETS, []),
        (INPUTS, {"tags": Labels(["odd", "even"])}, []),
        (INPUTS, {}, []),
        (INPUTS, TARGETS, ["series"]),
    ],
)
def test_another_question_is_learned(train, learned, inputs, targets, unaligned):
    learn_spec_once(train, INPUTS, TARGETS, [])
    found = learn_spec_once(train, inputs, targets, unaligned)
    assert len(learned) == 2
    assert found == spec_cache.learn_spec(train, inputs, targets, unaligned)


def test_other_rows_are_learned(train, learned):
    for rows in (train, train.select(range(30)), train.select(range(30, 60)), train.shuffle(seed=1)):
        learn_spec_once(rows, INPUTS, TARGETS, [])
    assert len(learned) == 4


def test_other_code_learns_again(train, learned, monkeypatch):
    for code in ("old", "new", "old"):
        monkeypatch.setattr(spec_cache, "code_key", lambda *modules, code=code: f"{code} {modules}")
        learn_spec_once(train, INPUTS, TARGETS, [])
    assert len(learned) == 2


_SUFFIX = ""


def _add_suffix(row):
    return {"words": [word + _SUFFIX for word in row["words"]]}


def test_rows_that_were_written_again(splits, tmp_path, monkeypatch, learned):
    """`datasets` gives them the same fingerprint, because the function has the same name."""
    found = []
    for suffix in ("", "x"):
        monkeypatch.setitem(globals(), "_SUFFIX", suffix)
        splits["train"].map(_add_suffix).save_to_disk(tmp_path / "rows")
        spec = learn_spec_once(load_from_disk(tmp_path / "rows"), INPUTS, TARGETS, [])
        found.append(spec["inputs"]["words"]["init_args"]["tokenizer"])
    assert len(learned) == 2
    assert "w1x" in found[1]
    assert "w1x" not in found[0]


def test_rows_in_memory_and_disabled_caching_leave_no_file(splits, train, datasets_cache, learned):
    before = sorted(datasets_cache.rglob("spec-*"))
    for _ in range(2):
        learn_spec_once(splits["train"], INPUTS, TARGETS, [])
    datasets.disable_caching()
    try:
        for _ in range(2):
            learn_spec_once(train, INPUTS, TARGETS, [])
    finally:
        datasets.enable_caching()
    assert len(learned) == 4
    assert sorted(datasets_cache.rglob("spec-*")) == before


def test_a_folder_that_cannot_be_written(train, learned, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "file")
    assert learn_spec_once(train, INPUTS, TARGETS, []) == learn_spec_once(train, INPUTS, TARGETS, [])
    assert len(learned) == 2


class Chooser(Words):
    """An encoder that is of another class when it is fitted."""

    def fit(self, dataset: Dataset, column: str):
        return Chosen(tokenizer=Words().fit(dataset, column).tokenizer)


class Chosen(Words):
    pass


def test_a_class_that_the_program_has_not_made_is_learned_again(train, learned, monkeypatch):
    monkeypatch.setattr(class_paths, "_allowed", WeakValueDictionary())
    for times_learned in (1, 1):
        learn_spec_once(train, {"words": Chooser()}, {}, [])
        assert len(learned) == times_learned
    monkeypatch.setattr(class_paths, "_allowed", WeakValueDictionary())  # as in a new process
    assert learn_spec_once(train, {"words": Chooser()}, {}, [])["inputs"]["words"]["class_path"].endswith("Chosen")
    assert len(learned) == 2


class Tuples(Words):
    """An encoder with an argument that JSON does not keep."""

    def __init__(self, pair=(1, 2), tokenizer=None):
        super().__init__(tokenizer=tokenizer)
        self.pair = pair

    def fit(self, dataset: Dataset, column: str):
        return type(self)(self.pair, Words().fit(dataset, column).tokenizer)


def test_what_json_changes_is_not_cached(train, learned):
    for _ in range(2):
        spec = learn_spec_once(train, {"words": Tuples()}, {}, [])
        assert spec["inputs"]["words"]["init_args"]["pair"] == (1, 2)
    assert len(learned) == 2
