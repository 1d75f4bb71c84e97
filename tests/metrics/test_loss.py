import math

import pytest
import torch

from seqkit.metrics import MeanLoss, language_metrics


def test_mean_loss_weighs_units_not_batches():
    metric = MeanLoss()
    metric.update(torch.tensor(10.0), torch.tensor(1))
    metric.update(torch.tensor(2.0), torch.tensor(5))
    assert metric.compute() == 2.0


def test_perplexity_and_bits_count_each_token_once():
    """A fair die of 27 sides (Shannon 1951: 4.75 bits a letter with the space) and a fair coin."""
    metrics = language_metrics("letter")
    metrics.update(torch.tensor(27 * math.log(27)), torch.tensor(27))
    assert float(metrics.compute()["perplexity"]) == pytest.approx(27)
    assert float(metrics.compute()["bits_per_letter"]) == pytest.approx(4.7549, abs=1e-4)
    metrics.reset()
    for tokens in (1, 3, 60):  # batches of other sizes do not change it
        metrics.update(torch.tensor(tokens * math.log(2)), torch.tensor(tokens))
    assert float(metrics.compute()["perplexity"]) == pytest.approx(2)
    assert float(metrics.compute()["bits_per_letter"]) == pytest.approx(1)
