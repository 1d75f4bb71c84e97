"""Labels that an evaluated split has and the training split lacks: refused, or counted as errors of the model."""

from collections.abc import Sequence
from typing import Any

from seqkit.data.encoders import LabelSequences
from seqkit.data.lightning.encoded_splits import EncodedSplits
from seqkit.data.rows.checks import RowError
from seqkit.data.unseen import UnseenLabel, unseen_of_streams

UNSEEN_LABELS = ("count", "error")

_MAX_NAMED = 10  # labels in a message


def counted_labels(
    encoded: EncodedSplits, split: str, policy: str, trainer: Any, *, with_targets: bool
) -> dict[str, list[str]]:
    """Return, by input and target, the labels of a split that training lacks and that are no error.

    Those of a target are counted by the trainer's model if it is able to. Without such a model, encoding such a
    label is an error. The labels are reported once.

    Args:
        encoded: The splits.
        split: The name of the split.
        policy: The option ``unseen_labels``.
        trainer: The trainer, if there is one.
        with_targets: Whether the targets are read.
    """
    if split == "train" or policy == "error":
        return {}
    encoders = encoded.label_encoders(with_targets=with_targets)
    if encoded.is_stream(split):
        names = {column: unseen_of_streams(encoder.fitted_names) for column, encoder in encoders.items()}
    else:
        unseen = encoded.unseen(split) if encoders else {}
        names = {column: [label.name for label in unseen[column]] for column in encoders if column in unseen}
    counted = {column: found for column, found in names.items() if _can_count(encoded, column, trainer)}
    if counted:
        report_unseen(encoded, split, policy, trainer, with_targets=with_targets)
    # LabelSequences has an id for any label that training lacks.
    return {column: found for column, found in counted.items() if not isinstance(encoders[column], LabelSequences)}


def report_unseen(encoded: EncodedSplits, split: str, policy: str, trainer: Any, *, with_targets: bool) -> None:
    """Warn, once, about each column of a split with labels that training lacks, or refuse them.

    Args:
        encoded: The splits.
        split: The name of the split; nothing is reported of the training split, of a stream and of no split.
        policy: The option ``unseen_labels``.
        trainer: The trainer, if there is one.
        with_targets: Whether the targets are read.

    Raises:
        RowError: There is such a label, and the policy is ``error``.
    """
    encoders = {} if split == "train" else encoded.label_encoders(with_targets=with_targets)
    unseen = encoded.unseen(split) if encoders else {}
    for column in encoders:
        if column not in unseen or (split, column) in encoded.reported:
            continue
        first = min(unseen[column], key=lambda label: label.row)
        text = f"{_describe(unseen[column])}; "
        if policy == "count":
            text += f"{_consequence(encoded, column, trainer)}; "
        text += f"to make it a class, name all labels: {type(encoders[column]).__name__}(names=[...])"
        entry = encoded.spec["inputs"].get(column) or encoded.spec["targets"][column]
        encoded.report(RowError(first.row, text, entry.get("column", column), split), refuse=policy == "error")
        encoded.reported.add((split, column))


def _describe(labels: Sequence[UnseenLabel]) -> str:
    """Say which labels a split has, most frequent first, and how often."""
    frequent = sorted(labels, key=lambda label: (-label.occurrences, label.name))
    named = ", ".join(f"{label.name!r} (count {label.occurrences:,})" for label in frequent[:_MAX_NAMED])
    rest = f" and {len(labels) - _MAX_NAMED} more" if len(labels) > _MAX_NAMED else ""
    return f"the training split has no label {named}{rest}"


def _consequence(encoded: EncodedSplits, column: str, trainer: Any) -> str:
    if column in encoded.spec["inputs"]:
        return "it is left out of the input"
    if not _can_count(encoded, column, trainer):
        return "the model does not count such labels, so reading the split will be an error"
    if encoded.spec["targets"][column]["kind"] == "labels":
        return "each one counts as an edit, and the loss leaves out its reference"
    return "the model cannot predict it, so each one counts as an error, and the loss leaves it out"


def _can_count(encoded: EncodedSplits, column: str, trainer: Any) -> bool:
    """Whether the trainer's model counts labels of a target that training lacks; any model reads an input."""
    if column in encoded.spec["inputs"] or encoded.spec["targets"][column]["kind"] == "labels":
        return True
    heads = getattr(getattr(trainer, "lightning_module", None), "heads", None)
    return isinstance(heads, dict) and getattr(heads.get(column), "counts_unseen_labels", False)
