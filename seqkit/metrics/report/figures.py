"""Draw confusion matrices and residuals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqkit.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _BLUE, _GREY = "#1f2933", "#2563a8", "#b9c2cc"
_MAX_NAMED = 60  # with more classes, their names are too small to read
_MAX_COUNTED = 24  # with more classes, the counts do not fit into the cells
_MAX_POINTS = 2000  # more points would hide one another


def draw_confusion(matrix: npt.NDArray[np.int64], names: Sequence[str], title: str) -> "tuple[Figure, Axes]":
    """Draw a confusion matrix: colours are shares of the true class, numbers are counts.

    ``torchmetrics.utilities.plot.plot_confusion_matrix`` colours by count, so that a frequent class hides the
    confusions of all others, and its numbers overlap from about 15 classes on.

    Args:
        matrix: (C, C), true classes by predicted classes.
        names: The C class names.
        title: The text above the figure.
    """
    classes = len(names)
    side = min(4.0 + 0.28 * classes, 18.0)
    figure = new_figure(side + 1.0, side)
    from matplotlib.colors import PowerNorm  # after new_figure, which explains a missing matplotlib

    axes = figure.add_subplot()
    shares = matrix / matrix.sum(1, keepdims=True).clip(min=1)
    # With the square root, a confusion of one in fifty is visible.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    if classes <= _MAX_NAMED:
        labels = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
        axes.set_xticks(range(classes), labels, rotation=90 if classes > 6 else 0, fontsize=8)
        axes.set_yticks(range(classes), labels, fontsize=8)
    if classes <= _MAX_COUNTED:
        for row, column in np.argwhere(matrix > 0):
            colour = "white" if shares[row, column] > 0.3 else _INK
            text = f"{matrix[row, column]:,}"
            axes.text(column, row, text, ha="center", va="center", fontsize=9 if classes <= 10 else 6, color=colour)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return figure, axes


def draw_residuals(
    predicted: npt.NDArray[np.float64], true: npt.NDArray[np.float64], title: str
) -> "tuple[Figure, Any]":
    """Draw predictions against true values, and a histogram of their differences.

    Args:
        predicted: (P,).
        true: (P,).
        title: The text above the figure.
    """
    figure = new_figure(11.0, 4.5)
    left, right = axes = figure.subplots(1, 2)
    if len(true) <= _MAX_POINTS:
        left.scatter(true, predicted, s=9, alpha=0.5, color=_BLUE, linewidths=0)
    else:
        left.hexbin(true, predicted, gridsize=60, bins="log", cmap="Blues", mincnt=1, linewidths=0)
    ends = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    left.plot(ends, ends, color=_INK, linewidth=0.8, linestyle="--")
    left.set_xlabel("true")
    left.set_ylabel("predicted")
    left.set_title(title)
    errors = predicted - true
    right.hist(errors, bins=int(np.clip(1.5 * len(errors) ** 0.5, 10, 60)), color=_BLUE)
    right.axvline(0.0, color=_INK, linewidth=0.8, linestyle="--")
    right.axvline(errors.mean(), color="#c2410c", linewidth=1.2, label=f"mean {errors.mean():.4g}")
    right.set_xlabel("predicted - true")
    right.set_ylabel("units")
    right.set_title(f"residuals: RMSE {np.sqrt((errors**2).mean()):.4g}, MAE {np.abs(errors).mean():.4g}")
    right.legend(frameon=False)
    for each in axes:
        each.spines[["top", "right"]].set_color(_GREY)
    return figure, axes
