import pytest
import torch

from seqkit.metrics import classification_metrics, multilabel_metrics, precision_recall_f1


def test_accuracy_counts_units_except_ignored_ones():
    metrics = classification_metrics(["a", "b", "c"], per_class=True)
    metrics.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, -100]))
    values = metrics.compute()
    assert values["accuracy"] == torch.tensor(2 / 3)
    torch.testing.assert_close(values["f1_b"], torch.tensor(2 / 3))


def test_multilabel_metrics():
    metrics = multilabel_metrics(["x", "y"], per_class=True)
    metrics.update(torch.tensor([[1, 0], [1, 1], [1, 0]]), torch.tensor([[1, 0], [0, 1], [1, 0]]))
    values = {name: float(value) for name, value in metrics.compute().items()}
    assert values == pytest.approx(
        {"exact_match": 2 / 3, "micro_f1": 6 / 7, "f1": (4 / 5 + 1) / 2, "f1_x": 4 / 5, "f1_y": 1.0}
    )


def test_precision_recall_f1():
    scores = precision_recall_f1(torch.tensor([2, 0]), torch.tensor([4, 0]), torch.tensor([5, 0]))
    torch.testing.assert_close(scores, torch.tensor([[1 / 2, 2 / 5, 4 / 9], [0.0, 0.0, 0.0]]))
