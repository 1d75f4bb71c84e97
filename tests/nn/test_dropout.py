import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from seqkit.nn import Dropout, LockedDropout
from seqkit.packed import pack, unpack

BOTH = pytest.mark.parametrize("kind", [Dropout, LockedDropout])


@BOTH
def test_evaluation_is_the_identity(kind: type[nn.Module]) -> None:
    values = pack(torch.randn(6, 4), [2, 3, 1])
    assert kind(0.5).eval()(values) is values
    assert kind(0.0)(values) is values


@BOTH
def test_probability_one_drops_all(kind: type[nn.Module]) -> None:
    values = pack(torch.randn(6, 4), [2, 3, 1])
    assert_close(kind(1.0)(values).data, torch.zeros(6, 4))


@BOTH
def test_mean_and_structure_are_kept(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    values = pack(torch.ones(600, 500), [1] * 300 + [2] * 150)
    result = kind(0.3)(values)
    assert result[1:] == values[1:]
    assert set(result.data.unique().tolist()) == {0, (torch.ones(()) / 0.7).item()}
    assert result.data.mean().item() == pytest.approx(1, abs=0.01)  # more than 4 standard errors


@BOTH
def test_gradient_passes_through_kept_values(kind: type[nn.Module]) -> None:
    values = pack(torch.randn(6, 4), [2, 3, 1])
    values.data.requires_grad_()
    result = kind(0.5)(values)
    (gradient,) = torch.autograd.grad(result.data.sum(), values.data)
    assert_close(gradient * values.data, result.data)


@BOTH
@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_values_that_are_no_probability_raise_an_error(kind: type[nn.Module], p: float) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
        kind(p)
    assert str(raised.value) == f"{kind.__name__}: p is {p}; give a probability in [0, 1]"


@BOTH
def test_representation_shows_the_probability(kind: type[nn.Module]) -> None:
    assert repr(kind(0.25)) == f"{kind.__name__}(p=0.25)"


def test_dropout_equals_torchs() -> None:
    values = pack(torch.randn(6, 4), [2, 3, 1])
    torch.manual_seed(1)
    wanted = nn.functional.dropout(values.data, 0.4)
    torch.manual_seed(1)
    assert_close(Dropout(0.4)(values).data, wanted, rtol=0, atol=0)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20), shape=st.sampled_from([(40,), (8, 5)]))
def test_locked_dropout_shares_a_mask_in_each_sequence(sizes: list[int], shape: tuple[int, ...]) -> None:
    for enforce_sorted in (False, True):
        ordered = sorted(sizes, reverse=True) if enforce_sorted else sizes
        ones = pack(torch.ones(sum(sizes), *shape), ordered, enforce_sorted=enforce_sorted)
        masks = unpack(LockedDropout(0.5)(ones))
        for mask in masks:
            assert torch.equal(mask, mask[:1].expand_as(mask))
        heads = torch.stack([mask[0] for mask in masks]).flatten(1)
        assert len(heads.unique(dim=0)) == len(sizes)  # two agree with probability 2^-40


def test_locked_dropout_draws_in_the_original_order() -> None:
    """The same sequences get the same masks whether or not the pack was sorted beforehand."""
    values = torch.ones(6, 4)
    torch.manual_seed(0)
    one = unpack(LockedDropout()(pack(values, [3, 2, 1])))
    torch.manual_seed(0)
    other = unpack(LockedDropout()(pack(values, [3, 2, 1], enforce_sorted=True)))
    assert_close(one, other, rtol=0, atol=0)
