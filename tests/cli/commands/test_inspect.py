from seqkit import SequenceDataModule
from seqkit.cli.commands.inspect import inspect
from tests.tasks.unseen_cases import SPLITS


def test_splits_with_labels_that_training_lacks_are_inspected(tmp_path, capsys):
    data = SequenceDataModule(SPLITS, "words", "tags", max_tokens=40)
    assert inspect(data, tmp_path / "lengths.png")["steps"] > 0
    assert "validation" in capsys.readouterr().out
