import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from seqkit.losses import L1, MSE, BinaryCrossEntropy, CrossEntropy, Huber, Quantile, unit_values, with_unit_values

CLASSES = 4
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def sequences(lengths, *trailing, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, *trailing, generator=generator, dtype=torch.float64) for n in lengths]


def packed(sequences):
    return pack_sequence(sequences, enforce_sorted=False)


def class_targets(lengths, ignore):
    generator = torch.Generator().manual_seed(1)
    targets = [torch.randint(CLASSES, (n,), generator=generator) for n in lengths]
    if ignore:
        targets[0][0] = -100
    return targets


CASES = {
    "cross-entropy": (CrossEntropy(), lambda z, y: F.cross_entropy(z, y, reduction="sum"), "class"),
    "smoothed": (
        CrossEntropy(label_smoothing=0.2),
        lambda z, y: F.cross_entropy(z, y, reduction="sum", label_smoothing=0.2),
        "class",
    ),
    "weighted": (
        CrossEntropy(weight=[1.0, 2.0, 0.5, 3.0]),
        lambda z, y: sum(
            [1.0, 2.0, 0.5, 3.0][c] * -row.log_softmax(-1)[c] for row, c in zip(z, y.tolist(), strict=True)
        ),
        "class",
    ),
    "binary": (
        BinaryCrossEntropy(),
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(-1).sum(),
        "labels",
    ),
    "binary-weighted": (
        BinaryCrossEntropy(pos_weight=[1.0, 2.0, 3.0, 4.0]),
        lambda z, y: (
            F.binary_cross_entropy_with_logits(
                z, y, reduction="none", pos_weight=torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
            )
            .mean(-1)
            .sum()
        ),
        "labels",
    ),
    "mse": (MSE(), lambda z, y: ((z - y) ** 2).mean(-1).sum(), "values"),
    "l1": (L1(), lambda z, y: (z - y).abs().mean(-1).sum(), "values"),
    "huber": (Huber(0.5), lambda z, y: F.huber_loss(z, y, reduction="none", delta=0.5).mean(-1).sum(), "values"),
}


def targets_of(kind, lengths):
    if kind == "class":
        return class_targets(lengths, ignore=False)
    values = sequences(lengths, CLASSES, seed=2)
    return [(v > 0).double() for v in values] if kind == "labels" else values


@pytest.mark.parametrize("case", CASES)
@given(lengths=lengths)
def test_total_and_gradient_equal_the_sums_over_sequences(case, lengths):
    loss, oracle, kind = CASES[case]
    outputs = [z.requires_grad_() for z in sequences(lengths, CLASSES)]
    targets = targets_of(kind, lengths)
    total, units = loss.total(packed(outputs), packed(targets))
    gradients = torch.autograd.grad(total, outputs)
    expected = sum(oracle(z, y) for z, y in zip(outputs, targets, strict=True))
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, outputs))
    assert any(g.abs().sum() > 0 for g in gradients)
    weights = [1.0, 2.0, 0.5, 3.0] if case == "weighted" else [1.0] * CLASSES
    counted = sum(weights[c] if kind == "class" else 1 for y in targets for c in y.tolist())
    assert float(units) == counted
    torch.testing.assert_close(loss(packed(outputs), packed(targets)), expected / counted)


@given(lengths=lengths)
def test_ignored_tokens_do_not_count(lengths):
    outputs = [z.requires_grad_() for z in sequences(lengths, CLASSES)]
    targets = class_targets(lengths, ignore=True)
    total, units = CrossEntropy(label_smoothing=0.1).total(packed(outputs), packed(targets))
    assert int(units) == sum(lengths) - 1
    gradient = torch.autograd.grad(total, outputs)[0]
    assert gradient[0].abs().sum() == 0


@given(
    lengths=lengths,
    weight=st.none() | st.lists(st.floats(0.0625, 16, width=32), min_size=CLASSES, max_size=CLASSES),
    label_smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    ignored=st.sampled_from([-100, 0, 2]),
)
def test_the_mean_of_cross_entropy_is_that_of_torch(lengths, weight, label_smoothing, ignored):
    logits = torch.cat(sequences(lengths, CLASSES)).requires_grad_()
    classes = torch.cat(class_targets(lengths, ignore=False))
    classes[0] = ignored
    if (classes == ignored).all():
        classes[0] = 1
    loss = CrossEntropy(weight, label_smoothing, ignored)
    expected = F.cross_entropy(
        logits,
        classes,
        weight=None if weight is None else torch.tensor(weight, dtype=torch.float64),
        label_smoothing=label_smoothing,
        ignore_index=ignored,
    )
    found = loss(logits, classes)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(value, logits)[0] for value in (found, expected))
    torch.testing.assert_close(*gradients)


@given(lengths=lengths)
def test_the_means_of_other_losses_are_those_of_torch(lengths):
    outputs, values = (torch.cat(sequences(lengths, CLASSES, seed=seed)) for seed in (1, 2))
    outputs.requires_grad_()
    weight, labels = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64), (values > 0).double()
    pairs = [
        (
            BinaryCrossEntropy(weight.tolist())(outputs, labels),
            F.binary_cross_entropy_with_logits(outputs, labels, pos_weight=weight),
        ),
        (MSE()(outputs, values), F.mse_loss(outputs, values)),
        (L1()(outputs, values), F.l1_loss(outputs, values)),
        (Huber(0.5)(outputs, values), F.huber_loss(outputs, values, delta=0.5)),
    ]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(*(torch.autograd.grad(value, outputs)[0] for value in (found, expected)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", CASES)
def test_sums_of_half_precision_outputs_are_full(case, dtype):
    """A sum over 100,000 units exceeds float16, and in bfloat16 has three digits."""
    loss, _, kind = CASES[case]
    outputs = torch.randn(100_000, CLASSES).to(dtype).requires_grad_()
    targets = torch.randint(CLASSES, (100_000,)) if kind == "class" else torch.rand(100_000, CLASSES).round()
    total, units = copy.deepcopy(loss).to(dtype).total(outputs, targets)
    expected, expected_units = loss.total(outputs.float(), targets)
    assert total.dtype == torch.float32
    torch.testing.assert_close((total, units), (expected, expected_units))
    assert total.isfinite()
    (total / units).backward()
    assert outputs.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_targets_of_binary_cross_entropy_and_distances_may_be_of_any_type(dtype):
    (outputs,), targets = sequences([5], CLASSES), torch.arange(5 * CLASSES).reshape(5, CLASSES) % 3 == 0
    for loss in (BinaryCrossEntropy(), MSE(), L1(), Huber(0.5)):
        torch.testing.assert_close(
            loss.total(outputs, targets.to(dtype)), loss.total(outputs, targets.double()), rtol=0, atol=0
        )


def test_tensors_have_one_unit_per_sequence():
    logits, classes = torch.randn(5, CLASSES), torch.randint(CLASSES, (5,))
    torch.testing.assert_close(CrossEntropy()(logits, classes), F.cross_entropy(logits, classes))


@given(lengths=lengths, quantile=st.floats(0.05, 0.95))
def test_quantile_equals_the_pinball_loss(lengths, quantile):
    outputs, targets = sequences(lengths, 2), sequences(lengths, seed=3)
    loss = Quantile([quantile, 0.5]).double()
    q = loss.quantiles
    total, units = loss.total(packed(outputs), packed(targets))
    expected = sum(
        torch.where(y > z[:, i], q[i] * (y - z[:, i]), (1 - q[i]) * (z[:, i] - y)).sum() / 2
        for z, y in zip(outputs, targets, strict=True)
        for i in range(2)
    )
    torch.testing.assert_close(total, expected)
    assert int(units) == sum(lengths)


def test_best_constant_under_quantile_loss_is_the_quantile():
    values = torch.arange(1.0, 101.0)
    candidates = torch.arange(0.0, 101.0)
    losses = torch.stack([Quantile([0.9])(c.expand(100, 1), values) for c in candidates])
    assert 90 <= candidates[losses.argmin()] <= 91


def test_unit_values_keep_the_gradient_of_a_tensor():
    values = torch.ones(3, requires_grad=True)
    unit_values(values * 2).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [2, 2, 2]


def test_wrong_number_of_class_weights_raises_an_error():
    with pytest.raises(ValueError, match="has 2 class weights but the output has 4 classes; give one"):
        CrossEntropy(weight=[1.0, 2.0])(torch.zeros(1, CLASSES), torch.zeros(1, dtype=torch.long))


def test_different_shapes_raise_an_error():
    with pytest.raises(ValueError, match=r"MSE: output \(3, 1\) but target \(3,\); give both the same shape"):
        MSE()(torch.zeros(3, 1), torch.zeros(3))


@pytest.mark.parametrize("quantile", [0.0, 1.0, -0.1])
def test_quantile_outside_its_range_raises_an_error(quantile):
    with pytest.raises(ValueError, match="give values between 0 and 1"):
        Quantile([quantile])


def test_wrong_shapes_for_quantiles_raise_an_error():
    with pytest.raises(ValueError, match=r"for 3 quantiles; give \(N, 3\) and \(N, 1\)"):
        Quantile()(torch.zeros(2, 2), torch.zeros(2, 1))


def test_empty_batch_adds_nothing():
    for loss, _, kind in CASES.values():
        target = torch.zeros(0, dtype=torch.long) if kind == "class" else torch.zeros(0, CLASSES)
        total, units = loss.total(torch.zeros(0, CLASSES), target)
        assert total == 0
        assert units == 0


def test_with_unit_values_keeps_the_structure():
    values = pack_sequence([torch.tensor([1.0, 2.0]), torch.tensor([3.0])])
    changed = with_unit_values(values, values.data * 2)
    assert changed.data.tolist() == [2.0, 6.0, 4.0]
    assert changed.batch_sizes is values.batch_sizes
    assert with_unit_values(torch.ones(2), torch.zeros(2)).tolist() == [0.0, 0.0]
