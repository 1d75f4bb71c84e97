import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit.metrics import ClassCounts, classification_metrics, multilabel_metrics, precision_recall_f1


def test_accuracy_counts_units_except_ignored_ones():
    metrics = classification_metrics(["a", "b", "c"], per_class=True)
    metrics.update(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, -100]))
    values = metrics.compute()
    assert values["accuracy"] == torch.tensor(2 / 3)
    torch.testing.assert_close(values["f1_b"], torch.tensor(2 / 3))


def counted(pairs, chosen):
    """True positives, predictions and true units of a class or label, by a loop."""
    correct = sum(chosen in found and chosen in true for found, true in pairs)
    return correct, sum(chosen in found for found, _ in pairs), sum(chosen in true for _, true in pairs)


def f1_of(correct, predicted, actual):
    return 2 * correct / (predicted + actual) if predicted + actual else 0.0


def computed(metrics, batches):
    for batch in batches:
        metrics.update(*batch)
    return {name: float(value) for name, value in metrics.compute().items()}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=12),
    st.booleans(),
    st.sampled_from([-100, 1]),
)
def test_classification_metrics_equal_a_loop(pairs, per_class, ignored):
    logits = torch.eye(3)[[found for found, _ in pairs]]
    classes = torch.tensor([true for _, true in pairs])
    classes[0] = ignored
    metrics = classification_metrics(["a", "b", "c"], per_class=per_class, ignore_index=ignored)
    found = computed(metrics, [(logits[:2], classes[:2]), (logits[2:], classes[2:])])
    counts = [({of[0]}, {true}) for of, true in zip(pairs, classes.tolist(), strict=True) if true != ignored]
    every = [counted(counts, chosen) for chosen in range(3)]
    scores = [f1_of(*each) for each in every]
    seen = [score for score, (_, predicted, actual) in zip(scores, every, strict=True) if predicted + actual]
    expected = {
        "accuracy": sum(of == true for of, true in counts) / max(len(counts), 1),
        "f1": sum(seen) / max(len(seen), 1),
    }
    if per_class:
        expected |= {f"f1_{name}": score for name, score in zip("abc", scores, strict=True)}
    assert found == pytest.approx(expected)


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 2)), st.sets(st.integers(0, 2))), min_size=2, max_size=12),
    st.booleans(),
)
def test_multilabel_metrics_equal_a_loop(pairs, per_class):
    logits, targets = (
        torch.tensor([[float(label in row) for label in range(3)] for row in rows])
        for rows in zip(*pairs, strict=True)
    )
    metrics = multilabel_metrics(["x", "y", "z"], per_class=per_class)
    batches = [(10 * part - 5, true.long()) for part, true in zip(logits.split(2), targets.split(2), strict=True)]
    every = [counted(pairs, label) for label in range(3)]
    expected = {
        "exact_match": sum(found == true for found, true in pairs) / len(pairs),
        "f1": sum(f1_of(*each) for each in every) / 3,
        "micro_f1": f1_of(*map(sum, zip(*every, strict=True))),
    }
    if per_class:
        expected |= {f"f1_{name}": f1_of(*each) for name, each in zip("xyz", every, strict=True)}
    assert computed(metrics, batches) == pytest.approx(expected)


def test_metrics_per_class_are_left_out_by_default():
    assert set(classification_metrics(["a", "b"])) == {"accuracy", "f1"}
    assert set(multilabel_metrics(["a", "b"])) == {"exact_match", "f1", "micro_f1"}


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


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_support_of_each_class_is_that_of_the_last_computation(multilabel):
    names = ["a", "b", "c"]
    predicted, target = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 2, 1, 2])
    if multilabel:
        metrics = multilabel_metrics(names, per_class=True)
        predicted, target = torch.eye(3)[predicted], torch.eye(3, dtype=torch.long)[target]
    else:
        metrics = classification_metrics(names, per_class=True)
    (counts,) = (each for each in metrics.values() if isinstance(each, ClassCounts))
    assert counts.class_counts() == {}
    for times in (1, 2):
        for _ in range(times):
            metrics.update(predicted, target)
        metrics.compute()
        metrics.reset()
        assert counts.class_counts() == {"f1_a": times, "f1_b": times, "f1_c": 2 * times}
