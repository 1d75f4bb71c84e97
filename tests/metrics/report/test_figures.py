import numpy as np
import pytest

from seqkit.metrics.report.figures import draw_confusion, draw_residuals

pytest.importorskip("matplotlib")


def test_a_confusion_matrix_shows_shares_and_counts():
    matrix = np.array([[3, 1, 0], [0, 1200, 0], [0, 0, 0]])
    figure, axes = draw_confusion(matrix, ["a", "b" * 30, "c"], "a title")
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])
    assert {(*text.get_position(), text.get_text(), text.get_color()) for text in axes.texts} == {
        (0, 0, "3", "white"),
        (1, 0, "1", "#1f2933"),
        (1, 1, "1,200", "white"),
    }
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "b" * 23 + "…", "c"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("predicted", "true", "a title")
    assert figure.axes[1].get_ylabel() == "share of the true class"


@pytest.mark.parametrize(("classes", "counts", "names"), [(24, 24, 24), (25, 0, 25), (60, 0, 60), (61, 0, None)])
def test_many_classes_have_no_counts_and_no_names(classes, counts, names):
    figure, axes = draw_confusion(np.eye(classes, dtype=np.int64), [f"c{i}" for i in range(classes)], "")
    assert len(axes.texts) == counts
    found = [label.get_text() for label in axes.get_yticklabels()]
    assert (found == [f"c{i}" for i in range(classes)]) is (names is not None)
    width, height = figure.get_size_inches()
    assert (width, height) == (pytest.approx(height + 1), pytest.approx(min(4 + 0.28 * classes, 18)))


@pytest.mark.parametrize("count", [5, 2000])
def test_residuals_show_each_unit_and_their_histogram(count):
    random = np.random.default_rng(0)
    true = random.normal(size=count)
    predicted = true + random.normal(size=count) + 0.5
    errors = predicted - true
    _, (left, right) = draw_residuals(predicted, true, "a title")
    assert np.allclose(left.collections[0].get_offsets(), np.stack([true, predicted], 1))
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    assert np.allclose(left.lines[0].get_xydata(), [[ends[0]] * 2, [ends[1]] * 2])
    assert (left.get_xlabel(), left.get_ylabel(), left.get_title()) == ("true", "predicted", "a title")
    heights = [bar.get_height() for bar in right.patches]
    assert heights == np.histogram(errors, len(heights))[0].tolist()
    assert len(heights) == (10 if count == 5 else 60)
    assert [line.get_xdata()[0] for line in right.lines] == [0.0, pytest.approx(errors.mean())]
    assert right.get_legend().get_texts()[0].get_text() == f"mean {errors.mean():.4g}"
    assert right.get_title() == f"residuals: RMSE {(errors**2).mean() ** 0.5:.4g}, MAE {abs(errors).mean():.4g}"
    assert (right.get_xlabel(), right.get_ylabel()) == ("predicted - true", "units")


def test_many_residuals_are_counted_in_cells():
    true = np.linspace(0, 1, 2001)
    _, (left, _) = draw_residuals(true**2, true, "")
    cells = left.collections[0]
    assert cells.get_array().sum() == 2001
    assert type(cells.norm).__name__ == "LogNorm"
