import torch

from seqkit.metrics import MeanLoss, classification_metrics, multilabel_metrics, regression_metrics


def test_mean_loss_weighs_units_not_batches():
    metric = MeanLoss()
    metric.update(torch.tensor(10.0), torch.tensor(1))
    metric.update(torch.tensor(2.0), torch.tensor(5))
    assert metric.compute() == 2.0


def test_accuracy_is_per_unit_and_leaves_out_what_is_ignored():
    metrics = classification_metrics(["a", "b", "c"], per_class=True)
    metrics.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, -100]))
    values = metrics.compute()
    assert values["accuracy"] == torch.tensor(2 / 3)
    torch.testing.assert_close(values["f1_b"], torch.tensor(2 / 3))


def test_multilabel_names_its_labels():
    metrics = multilabel_metrics(["x", "y"], per_class=True)
    metrics.update(torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 0], [0, 1]]))
    values = metrics.compute()
    assert values["accuracy"] == 0.5
    assert values["f1_y"] == 1.0


def test_rmse_is_in_units_of_the_target():
    metrics = regression_metrics()
    metrics.update(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 4.0]))
    values = metrics.compute()
    torch.testing.assert_close(values["rmse"], torch.tensor(12.5).sqrt())
    torch.testing.assert_close(values["mae"], torch.tensor(3.5))
