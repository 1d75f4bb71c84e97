"""Pictures of how a test went, drawn with matplotlib where it is installed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_INK, _BLUE, _GREY = "#1f2933", "#2563a8", "#b9c2cc"
_NAMED = 60  # classes at most whose names can be read beside a matrix
_COUNTED = 24  # classes at most whose counts can be read in it


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches, outside pyplot and its global state.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "pictures are drawn with matplotlib, which is not installed: pip install 'seqkit-packed[plots]'"
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: "Figure") -> npt.NDArray[np.uint8]:
    """A figure drawn: (height, width, 3)."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def confusion_figure(matrix: npt.NDArray[np.int64], names: Sequence[str], title: str) -> "Figure":
    """Draw a confusion matrix: shades are shares of the true class, numbers are counts.

    Args:
        matrix: (C, C), true classes by predicted classes.
        names: The C class names.
        title: Above it.
    """
    classes = len(names)
    side = min(4.0 + 0.28 * classes, 18.0)
    figure = new_figure(side + 1.0, side)
    from matplotlib.colors import PowerNorm  # is there, as a figure is

    axes = figure.add_subplot()
    shares = matrix / matrix.sum(1, keepdims=True).clip(min=1)
    # The root of a share, or a confusion of one in fifty would look like none.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    if classes <= _NAMED:
        labels = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
        axes.set_xticks(range(classes), labels, rotation=90 if classes > 6 else 0, fontsize=8)
        axes.set_yticks(range(classes), labels, fontsize=8)
    if classes <= _COUNTED:
        for row, column in np.argwhere(matrix > 0):
            colour = "white" if shares[row, column] > 0.3 else _INK
            text = f"{matrix[row, column]:,}"
            axes.text(column, row, text, ha="center", va="center", fontsize=9 if classes <= 10 else 6, color=colour)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    return figure


def residual_figure(predicted: Floats, true: Floats, title: str) -> "Figure":
    """Draw predictions against the truth, and the distribution of their differences.

    Args:
        predicted: (N,).
        true: (N,).
        title: Above it.
    """
    figure = new_figure(11.0, 4.5)
    left, right = figure.subplots(1, 2)
    _scatter(left, true, predicted)
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
    for axes in (left, right):
        axes.spines[["top", "right"]].set_color(_GREY)
    return figure


def _scatter(axes: "Axes", x: Floats, y: Floats) -> None:
    """Dots, or where they would hide one another, cells shaded by their number."""
    if len(x) <= 2000:
        axes.scatter(x, y, s=9, alpha=0.5, color=_BLUE, linewidths=0)
    else:
        axes.hexbin(x, y, gridsize=60, bins="log", cmap="Blues", mincnt=1, linewidths=0)
