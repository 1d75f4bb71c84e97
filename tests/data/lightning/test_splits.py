import pytest

from seqkit import SequenceDataModule


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def test_a_missing_validation_split_is_held_out_the_same_each_time(splits):
    first, second = make(splits["train"]), make(splits["train"])
    assert first.splits["train"].num_rows == 54
    assert first.splits["validation"]["words"] == second.splits["validation"]["words"]
    assert make(splits["train"], seed=1).splits["validation"]["words"] != first.splits["validation"]["words"]


def test_no_row_is_in_two_splits(splits):
    numbered = splits["train"].add_column("number", list(range(60)))
    made = make(numbered, validation_fraction=0.2, test_fraction=0.1).splits
    assert sorted(n for split in made.values() for n in split["number"]) == list(range(60))
    assert [made[name].num_rows for name in ("train", "validation", "test")] == [43, 11, 6]


def test_holding_out_all_rows_raises(splits):
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 of 1 training rows leaves none to train on"):
        make(splits["train"].select([0]), validation_fraction=0.1).splits  # noqa: B018 -- a property


def test_existing_splits_are_kept(splits):
    assert make(splits, test_fraction=0.5).splits["test"].num_rows == 20


def test_no_validation_split(splits):
    assert make(splits["train"], validation_fraction=0).val_dataloader() == []
