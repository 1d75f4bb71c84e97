import datasets

from seqkit import SequenceDataModule
from seqkit.cli.commands.inspect import inspect
from tests.tasks.unseen_cases import SPLITS


def cells(printed, *start):
    """The cells of the rows of tables that begin with some cells."""
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in printed.splitlines() if "│" in line]
    return [row for row in rows if row[: len(start)] == list(start)]


def test_labels_that_training_lacks_are_printed_with_their_counts(tmp_path, capsys):
    data = SequenceDataModule(SPLITS, "words", "tags", max_tokens=40)
    assert inspect(data, tmp_path / "lengths.png")["steps"] > 0
    printed = capsys.readouterr().out
    assert "Labels that the training split lacks" in printed
    for split, labels in (("validation", ["I-place"]), ("test", ["I-place", "B-new", "I-new", "strange"])):
        tags = [tag for row in SPLITS[split]["tags"] for tag in row]
        found = {row[2]: row[3] for row in cells(printed, split, "tags")}
        assert found == {label: str(tags.count(label)) for label in labels}


def test_without_such_labels_nothing_is_said_of_them(splits, tmp_path, capsys):
    inspect(SequenceDataModule(splits, "words", "tags", max_tokens=40), tmp_path / "lengths.png")
    printed = capsys.readouterr().out
    assert "lacks" not in printed
    assert "input" not in printed


def test_both_texts_of_a_pair_are_counted(tmp_path, capsys):
    rows = {
        "one": [["a"], ["a", "b"], ["a"]] * 9,
        "two": [["c"] * 5, ["c"], ["c"] * 3] * 9,
        "label": ["x", "y", "x"] * 9,
    }
    train = datasets.Dataset.from_dict(rows)
    data = SequenceDataModule(
        {"train": train}, ["one", "two"], "label", unaligned=["two"], max_tokens=40, validation_fraction=0
    )
    inspect(data, tmp_path / "lengths.png")
    printed = capsys.readouterr().out
    assert cells(printed, "train", "one")[0][2:5] == ["27", "36", "1"]
    assert cells(printed, "train", "two")[0][2:5] == ["27", "81", "1"]
    assert "the length of a row: the longest of one, two" in " ".join(printed.split())
