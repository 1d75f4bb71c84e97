import itertools

import datasets
import pyarrow as pa
import pytest

from seqkit import SequenceDataModule, packed
from seqkit.data.cut_spans import add_cut, ignore_cut_spans
from seqkit.labels import allowed_transitions

BIO = ["O", "B-x", "I-x", "B-y", "I-y"]
BIOES = ["O", "S-x", "B-x", "I-x", "E-x", "B-y", "E-y"]


def cut(rows, names, length):
    ids = [[names.index(tag) if tag else -100 for tag in row] for row in rows]
    found = ignore_cut_spans(pa.array(ids, pa.list_(pa.int64())), names, length)
    assert found.type == pa.list_(pa.int64())
    return [[names[i] if i >= 0 else None for i in row] for row in found.to_pylist()]


@pytest.mark.parametrize(
    ("names", "tags", "kept"),
    [
        (BIO, "O B-x I-x I-x", "O _ _"),
        (BIO, "O B-x I-x O", "O B-x I-x"),
        (BIO, "O B-x I-x B-x", "O B-x I-x"),
        (BIO, "B-x I-x I-x I-x", "_ _ _"),  # the whole row is one span
        (BIO, "B-x I-x B-y I-y", "B-x I-x _"),
        (BIO, "O O O I-x", "O O O"),
        (BIO, "O B-x I-x", "O B-x I-x"),  # not cut
        (BIO, "O I-x I-x I-x", "O _ _"),  # IOB1
        (BIO, "O I-x B-x I-x", "O I-x _"),
        (BIO, "O B-x I-x _", "O _ _"),  # a missing tag may continue the span
        (BIO, "B-x _ I-x I-x", "_ _ _"),
        (BIO, "B-y _ I-x I-x", "_ _ _"),
        (BIO, "O B-x _ O", "O B-x _"),
        (BIOES, "O B-x I-x E-x", "O _ _"),
        (BIOES, "O S-x B-x E-x", "O S-x _"),
        (BIOES, "O B-x E-x O", "O B-x E-x"),
        (BIOES, "O B-x E-x S-x", "O B-x E-x"),
    ],
)
def test_spans_that_the_cut_divides(names, tags, kept):
    row = [None if tag == "_" else tag for tag in tags.split()]
    expected = [None if tag == "_" else tag for tag in kept.split()]
    assert cut([["O"], row, []], names, 3)[1][:3] == expected
    assert cut([["O"], row, []], names, 3)[::2] == [["O"], []]


def test_what_is_left_is_allowed():
    """By every start of every allowed sequence of tags, of length up to five, as a sequence of its own."""
    allowed = allowed_transitions(BIOES, "BIOES")
    start, links, end = (table.tolist() for table in allowed)
    size = range(len(BIOES))
    rows = [
        row
        for row in itertools.product(size, repeat=5)
        if start[row[0]] and end[row[-1]] and all(links[a][b] for a, b in itertools.pairwise(row))
    ]
    assert len(rows) > 100
    for length in (1, 2, 3, 4):
        found = ignore_cut_spans(pa.array([list(row) for row in rows]), BIOES, length).to_pylist()
        for row, tags in zip(rows, found, strict=True):
            tags = tags[:length]
            known = [tag for tag in tags if tag >= 0]
            assert known == list(row[: len(known)])  # the masked ones are the last
            assert not known or end[known[-1]]
            if end[row[length - 1]]:
                assert known == list(row[:length])


def test_only_targets_with_spans_are_marked():
    spec = {
        "inputs": {"words": {"kind": "ids"}},
        "targets": {
            "tags": {"kind": "class", "per": "token", "names": BIO},
            "upos": {"kind": "class", "per": "token", "names": ["NOUN", "VERB"]},
            "flags": {"kind": "multilabel", "per": "token", "names": BIO},
            "label": {"kind": "class", "per": "sequence", "names": BIO},
        },
    }
    marked = add_cut(spec, 7)
    assert [name for name, entry in marked["targets"].items() if "cut" in entry] == ["tags"]
    assert marked["targets"]["tags"]["cut"] == 7
    assert "cut" not in spec["targets"]["tags"]
    assert add_cut(spec, None) == spec


@pytest.mark.parametrize("streaming", [False, True])
def test_in_training_only(streaming):
    rows = {"words": [["w"] * 5, ["w"] * 2], "tags": [["O", "B-x", "I-x", "I-x", "I-x"], ["B-x", "I-x"]]}
    data = SequenceDataModule(
        dict.fromkeys(("train", "validation"), datasets.Dataset.from_dict(rows)),
        "words",
        "tags",
        max_tokens=3,
        overlong="truncate",
        streaming=streaming,
    )
    names = data.spec["targets"]["tags"]["names"]

    def tags(loader):
        found = {}
        for batch in loader:
            ids = [each.tolist() for each in packed.unpack(batch.targets["tags"])]
            found |= dict(zip(batch.rows.tolist(), ids, strict=True))
        return {row: [names[i] if i >= 0 else None for i in ids] for row, ids in found.items()}

    assert tags(data.train_dataloader()) == {0: ["O", None, None], 1: ["B-x", "I-x"]}
    assert tags(data.val_dataloader()) == dict(enumerate(rows["tags"]))
