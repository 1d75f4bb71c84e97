import json
import re
from functools import partial

import datasets
import numpy as np
import pytest

from seqkit import SequenceDataModule, Tagger
from seqkit.data import Characters, Files
from seqkit.nn import LSTM, Embedding


def make(splits, **options):
    return SequenceDataModule(splits, **({"inputs": "words", "targets": "tags", "max_tokens": 32} | options))


def test_a_missing_validation_split_is_held_out_the_same_each_time(splits):
    first, second = make(splits["train"]), make(splits["train"])
    assert first.splits["train"].num_rows == 54
    assert first.splits["validation"]["words"] == second.splits["validation"]["words"]
    assert make(splits["train"], seed=1).splits["validation"]["words"] != first.splits["validation"]["words"]


def test_held_out_rows_are_logged(splits, caplog):
    caplog.set_level("INFO", "lightning.pytorch")
    data = make(splits["train"])
    assert len(data.splits) == 2
    assert not caplog.records  # nothing is read yet
    for split in ("train", "validation", "train"):
        data.rows(split)
    message = (
        "the source has no validation split: 6 of its 60 training rows are held out as validation "
        "(validation_fraction=0.1)"
    )
    assert [record.message for record in caplog.records] == [message]
    caplog.clear()
    make(splits).rows("train")
    assert not caplog.records
    data = make(splits["train"], test_fraction=0.2, spec=data.spec)
    data.rows("test")  # the validation split is not read
    (record,) = caplog.records
    assert "12 of its 60 training rows are held out as test" in record.message


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


def test_validating_without_a_validation_split_raises(splits, trainer):
    data = make(splits["train"], validation_fraction=0)
    model = Tagger(data.spec, embedding=partial(Embedding, embedding_dim=4), encoder=partial(LSTM, hidden_size=4))
    with pytest.raises(ValueError, match=r"the source has no split 'validation', only \['train'\]; name its file"):
        trainer(logger=False).validate(model, data)


# Errors name the row of the source, whatever becomes of it before a batch is made.

COUNT, BAD = 40, 23
SEED = 7  # does not hold out the bad row


def make_with_bad_row(split="train", bad_row=BAD, *, stream=False, words=None, label="x", weight=1.0, **options):
    """A data module whose source has one bad row."""
    rows = [
        {"words": ["a"] * (row % 5 + 1), "label": "xy"[row % 2], "weight": 1.0, "number": row}
        for row in range(COUNT)
    ]
    splits = {"train": rows} if split == "train" else {"train": rows, split: [dict(row) for row in rows]}
    splits[split][bad_row].update(weight=weight, label=label)
    if words is not None:
        splits[split][bad_row]["words"] = words
    source = datasets.DatasetDict({name: datasets.Dataset.from_list(each) for name, each in splits.items()})
    options = {"inputs": "words", "targets": "label", "max_tokens": 16} | options
    return SequenceDataModule(source, streaming=stream, **options)


@pytest.mark.parametrize("bad_row", [0, 5, 23, 39])
@pytest.mark.parametrize("fractions", [(0.0, 0.0), (0.3, 0.0), (0.3, 0.3)])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"words": []}, r"length 0, nothing to pack; remove it or pass empty=\"drop\""),
        ({"words": ["a"] * 20}, "20 tokens, but max_tokens=16; raise max_tokens or pass overlong="),
        ({"weight": -1.0, "weights": "weight"}, "weight -1.0; a weight is a finite number, 0 or more"),
    ],
    ids=["empty", "overlong", "weight"],
)
def test_rows_that_the_sampler_refuses(bad_row, fractions, bad, message):
    validation, test = fractions
    data = make_with_bad_row(bad_row=bad_row, validation_fraction=validation, test_fraction=test, **bad)
    split = next(name for name, rows in data.splits.items() if bad_row in rows["number"])
    place = "" if split == "train" else f", held out for {split}"
    loaders = {"train": data.train_dataloader, "validation": data.val_dataloader, "test": data.test_dataloader}
    loader = loaders[split]
    if split == "train" or "length 0" in message:
        with pytest.raises(ValueError, match=rf"^train row {bad_row}{place}: {message}"):
            loader()
    else:
        # Neither is an error in evaluation: the rows are all there.
        rows = [int(row) for batch in loader() for row in batch.rows]
        assert sorted(rows) == list(range(len(data.splits[split])))


@pytest.mark.parametrize("bad_row", [0, 5, 23, 39])
@pytest.mark.parametrize("validation", [0.0, 0.5])
def test_rows_that_cannot_be_encoded(bad_row, validation):
    spec = make_with_bad_row().spec
    data = make_with_bad_row(bad_row=bad_row, words=["a", None], validation_fraction=validation, spec=spec)
    held_out = validation > 0 and bad_row in data.splits["validation"]["number"]
    place = ", held out for validation" if held_out else ""
    with pytest.raises(ValueError, match=rf"^train row {bad_row}{place} \(column 'words'\): there is no value"):
        data.rows("validation" if held_out else "train")


def test_rows_that_cannot_be_learned_from():
    data = make_with_bad_row(words=["ab"], inputs={"words": Characters()}, validation_fraction=0.3, seed=SEED)
    with pytest.raises(ValueError, match=rf"^train row {BAD} \(column 'words'\): 'ab' at position 0 is not one"):
        _ = data.spec


def test_unknown_labels_in_another_split():
    data = make_with_bad_row("test", label="z")
    with pytest.raises(ValueError, match=rf"^test row {BAD} \(column 'label'\): label 'z' is not one of the known"):
        data.test_dataloader()


def test_rows_to_predict():
    data = make_with_bad_row("test", words=[])
    with pytest.raises(ValueError, match=rf"^test row {BAD}: length 0, nothing to pack"):
        data.predict_dataloader()


def test_a_row_that_is_asked_for():
    rows = make_with_bad_row(words=[], validation_fraction=0.3, seed=SEED).rows("train")
    empty = int(np.flatnonzero(rows.lengths == 0)[0])
    with pytest.raises(ValueError, match=rf"^train row {BAD} \(column 'words'\): an empty sequence"):
        rows[[empty]]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"words": []}, ": length 0, nothing to pack"),
        ({"words": ["a", None]}, r" \(column 'words'\): there is no value \(null\) at position 1"),
        ({"label": "z"}, r" \(column 'label'\): label 'z' is not one of the known labels"),
    ],
    ids=["empty", "null", "label"],
)
def test_rows_of_a_stream(bad, message, workers):
    data = make_with_bad_row("test", stream=True, pool=8, num_workers=workers, spec=make_with_bad_row().spec, **bad)
    with pytest.raises((ValueError, RuntimeError), match=rf"test row {BAD} of the stream{message}"):
        list(data.test_dataloader())


def test_rows_of_a_stream_with_shuffled_shards():
    data = make_with_bad_row(stream=True, pool=8, spec=make_with_bad_row().spec, label="z")
    with pytest.raises(ValueError, match=r"^train row \d+ of the stream, its shards shuffled for epoch 0 \(column"):
        list(data.train_dataloader())


def test_rows_of_a_rank_of_a_stream():
    stream = (
        make_with_bad_row("test", stream=True, pool=8, spec=make_with_bad_row().spec, label="z")
        .test_dataloader()
        .dataset
    )
    stream.rank, stream.num_replicas = 1, 2
    with pytest.raises(ValueError, match=r"^test row \d+ of share 2 of 2 of the stream \(column 'label'\)"):
        list(stream)


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_rows_of_several_files(tmp_path, validation):
    """The row is that of the split; the message also says which file has it."""
    texts = [[{"words": ["a"] * (row % 5 + 1), "label": "xy"[row % 2]} for row in range(12)] for _ in range(3)]
    texts[1][8]["words"] = []
    for name, rows in zip("cab", texts, strict=True):
        lines = [json.dumps(row) for row in rows]
        (tmp_path / f"part-{name}.jsonl").write_text("\n".join(lines))
    # Files are read in the order of their names: a is texts[1].
    source = Files(train=str(tmp_path / "part-*.jsonl"))
    data = SequenceDataModule(source, "words", "label", max_tokens=16, validation_fraction=validation, seed=SEED)
    place = rf"train row 8 \(row 8 of {re.escape(str(tmp_path / 'part-a.jsonl'))}\): length 0"
    with pytest.raises(ValueError, match=place):
        data.train_dataloader()
    texts[1][8]["words"] = ["a"]
    texts[0][5]["words"] = ["a", None]
    for name, rows in zip("cab", texts, strict=True):
        (tmp_path / f"part-{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = SequenceDataModule(
        source, "words", "label", max_tokens=16, validation_fraction=validation, seed=SEED, spec=data.spec
    )
    held_out = ", held out for validation" if 29 not in numbers_of(validation, 36) else ""
    split = "validation" if held_out else "train"
    file = re.escape(str(tmp_path / "part-c.jsonl"))
    place = rf"train row 29 \(row 5 of {file}\){held_out} \(column 'words'\): there is no value"
    with pytest.raises(ValueError, match=place):
        data.rows(split)


def numbers_of(validation, count):
    """The training rows that are left."""
    rows = datasets.Dataset.from_dict({"number": list(range(count))})
    if not validation:
        return rows["number"][:]
    return rows.train_test_split(test_size=validation, seed=SEED)["train"]["number"][:]


@pytest.mark.parametrize("validation", [0.0, 0.3])
def test_rows_of_a_filtered_dataset(validation):
    """The row is that of the dataset that was given."""
    rows = datasets.Dataset.from_dict(
        {"words": [["a"] * (row % 4) for row in range(COUNT)], "label": ["x", "y"] * (COUNT // 2)}
    )
    kept = rows.filter(lambda row: row["label"] == "x").shuffle(seed=1)  # lengths 0 and 2
    options = {"validation_fraction": validation, "seed": SEED, "spec": make_with_bad_row().spec}
    data = SequenceDataModule({"train": kept}, "words", "label", max_tokens=16, **options)
    with pytest.raises(ValueError, match=r"^train row \d+: length 0") as caught:
        data.train_dataloader()
    assert kept[int(str(caught.value).split()[2].strip(":"))]["words"] == []
