"""What a task returns: predictions, outputs beside targets, and descriptions of rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.losses import Values
from seqkit.metrics import readable


class Predictions(NamedTuple):
    """What ``predict_step`` returns.

    Attributes:
        rows: The dataset row of each sequence.
        columns: By name, one plain value or list for each sequence, in the order of ``rows``.
    """

    rows: list[int]
    columns: dict[str, list[Any]]


class TaskOutput(NamedTuple):
    """A batch's output for one target; ``test_step`` returns one for each target, by its column.

    Attributes:
        output: The model's output: packed, data (N, C), or (B, C).
        target: The target, likewise.
    """

    output: Values
    target: Values


class RowReport(NamedTuple):
    """What a report says about one row.

    Attributes:
        fields: By name, values of plain types for the report's file, such as ``predicted`` and ``true``.
        summary: A text for a table's cell; None shows the tokens whose ``predicted`` and ``true`` labels differ.
    """

    fields: dict[str, Any]
    summary: str | None = None


NAN = ""
"""The key, among predictions, of a tensor that says whether an output is NaN. No column has this name."""


def check_outputs(model: nn.Module, is_nan: Tensor) -> None:
    """Check that no output of a model is NaN.

    Args:
        model: The model, for the message.
        is_nan: Whether there is one, on the CPU: on another device, the host would wait.

    Raises:
        ValueError: One is.
    """
    if is_nan:
        raise ValueError(
            f"an output of {type(model).__name__} is NaN, as after a training that diverged; take an earlier "
            f"checkpoint, or train again with a smaller learning rate"
        )


def select_sequences(values: Values, places: Sequence[int]) -> list[Tensor]:
    """Take some of a batch's sequences: the values (L, ...) of their tokens, or their own (1, ...)."""
    if isinstance(values, PackedSequence):
        each = packed.unpack(values)
        return [each[i] for i in places]
    return [values[i : i + 1] for i in places]


def numbers_to_python(values: Tensor) -> list[Any]:
    """Return numbers (..., K) as nested lists, with a number instead of a list where K is 1."""
    found: list[Any] = (values.squeeze(-1) if values.shape[-1] == 1 else values).tolist()
    return found


def comparison(true: Any, predicted: Any) -> str:
    """Write a true and a predicted value beside each other."""
    return " → ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in (true, predicted))


def joined_labels(labels: Sequence[str | None]) -> str:
    """Join labels, letters without blanks; an unknown label is ``?``."""
    names = ["?" if label is None else label for label in labels]
    return ("" if all(len(name) == 1 for name in names) else " ").join(names)


def costliest_tokens(tokens: Sequence[str], nll: Sequence[float]) -> str:
    """Write the three tokens with the largest negative log-likelihood."""
    order = sorted(range(len(tokens)), key=lambda i: -nll[i])[:3]
    return ", ".join(f"{readable(tokens[i])} {nll[i]:.1f}" for i in order)
