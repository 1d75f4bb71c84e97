import pytest
import torch

from seqkit.decoding import sample

PROBS = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]])


def shares(count=4000, **options):
    """Return how often each class of the first row is sampled."""
    generator = torch.Generator().manual_seed(0)
    sampled = sample(PROBS[:1].log().expand(count, -1), generator, **options)
    return (torch.bincount(sampled, minlength=4) / count).tolist()


def test_samples_by_probability():
    assert shares() == pytest.approx(PROBS[0].tolist(), abs=0.03)


def test_temperature_sharpens_and_flattens():
    assert shares(temperature=0.5) == pytest.approx((PROBS[0] ** 2 / (PROBS[0] ** 2).sum()).tolist(), abs=0.03)
    assert sample(PROBS.log(), torch.Generator(), temperature=0).tolist() == [0, 3]


def test_top_k():
    assert shares(top_k=2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert sample(PROBS.log(), torch.Generator(), top_k=1).tolist() == [0, 3]
    assert shares(top_k=9) == pytest.approx(PROBS[0].tolist(), abs=0.03)


def test_top_p():
    assert shares(top_p=0.75) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(top_p=0.85) == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0], abs=0.03)
    assert shares(top_p=1e-6) == [1, 0, 0, 0]
    assert shares(top_k=2, top_p=0.6) == [1, 0, 0, 0]


def test_class_of_probability_zero_is_never_sampled():
    log_probs = PROBS.log().index_fill(1, torch.tensor([0]), -torch.inf)
    assert 0 not in sample(log_probs.repeat(100, 1), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_options_out_of_range_raise_an_error(options):
    with pytest.raises(ValueError, match="temperature is at least 0, top_k at least 1, top_p above 0"):
        sample(PROBS.log(), torch.Generator(), **options)
