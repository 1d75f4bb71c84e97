"""The stream of a task with an encoder: a tagger, a regressor, a forecaster, or several targets."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.batch import Batch
from seqkit.labels import parse_tags
from seqkit.losses import Values
from seqkit.nn import LastPool
from seqkit.options import flag
from seqkit.tasks.inputs import Encoded, EncoderParts
from seqkit.tasks.prediction import evaluation
from seqkit.tasks.stream.spans import LastTag, Tag, continue_spans
from seqkit.tasks.stream.steps import State, advance, check_encode, check_steps, check_tokenwise
from seqkit.tasks.stream.stream import Stream

if TYPE_CHECKING:
    from seqkit.tasks.multitask import MultiTask
    from seqkit.tasks.tagger import Tagger
    from seqkit.tasks.task import Task


class TaskStream(Stream):
    """A stream of a :class:`~seqkit.Task` or a :class:`~seqkit.MultiTask`; see :class:`Stream`.

    Outputs have the names that :meth:`~seqkit.Task.predict` gives them. What is predicted per token is a list with
    a value for each new token. What is predicted per sequence is the answer after the tokens read so far, of a
    :class:`~seqkit.Forecaster` the steps after the last one; it is None before the first token. ``TARGET_spans``
    has the spans with new tokens, at their positions in the whole sequence; a span that continues is there again,
    longer.

    Args:
        model: The model, in any mode; it reads in evaluation and without gradients.
        batch_size: B, the number of sequences; None for one sequence, whose values and outputs are in no list.
        scores: Whether outputs contain probabilities.

    Raises:
        ValueError: A part of the model reads later tokens or whole sequences, or takes no state.
    """

    def __init__(self, model: "Task | MultiTask", batch_size: int | None = None, *, scores: bool = False) -> None:
        check_task(model)
        self.scores = flag("scores", scores)
        self._parts = EncoderParts(model.sides, model.embeddings, model.encoder, model.dropout)
        self._heads = cast("dict[str, Task]", model.heads)
        self._tags = {f"{column}_spans": tags for column, head in self._heads.items() if (tags := _tags_of(head))}
        self._names = self._output_names(model)
        per_token = [name for name, is_per_token in self._names.items() if is_per_token]
        super().__init__(model, batch_size, per_token=per_token)

    def _begin(self, rows: Sequence[int]) -> None:
        for row in rows:
            self._outputs[row] = dict.fromkeys(self._names)
            self._notes.pop(row, None)

    def _begins(self, row: int) -> bool:
        return self.lengths[row] == 0

    def _read(self, batch: Batch, state: State | None) -> tuple[list[dict[str, Any]], State]:
        embedded = self._parts.embed(batch.inputs, self._parts.sides[0])
        hidden, final, state = advance(self._parts.encoder, embedded, state)
        encoded = [Encoded(hidden, final)]
        columns = self._to_python(
            [(head, head.predict_values(encoded, scores=self.scores)) for head in self._heads.values()]
        )
        outputs = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        for row, output in zip(batch.rows.tolist(), outputs, strict=True):
            self._continue_spans(row, output)
        return outputs, state

    def _output_names(self, model: "Task | MultiTask") -> dict[str, bool]:
        """Return the names of the outputs, and whether each has a value for each token."""
        hidden = torch.zeros(
            1, cast(int, model.encoder.output_size), dtype=cast(torch.dtype, model.dtype), device=model.device
        )
        encoded = Encoded(PackedSequence(hidden, torch.tensor([1])), hidden[None])
        names: dict[str, bool] = {}
        with evaluation(model):
            for column, head in self._heads.items():
                found = head.predict_values([encoded], scores=self.scores)
                is_per_token = isinstance(found[column], PackedSequence)
                names |= dict.fromkeys(self._to_python([(head, found)]), is_per_token)
        return names

    def _to_python(self, found: Sequence[tuple["Task", dict[str, Values]]]) -> dict[str, list[Any]]:
        """Return what heads predict in plain types, by name, one for each sequence."""
        on_host = iter(packed.to_host([values for _, each in found for values in each.values()]))
        columns: dict[str, list[Any]] = {}
        for head, each in found:
            columns |= head.columns_to_python({name: next(on_host) for name in each})
        return columns

    def _continue_spans(self, row: int, output: dict[str, Any]) -> None:
        """Replace the spans of the new tags alone by those of the whole sequence."""
        last: dict[str, LastTag] = self._notes.get(row, {})
        after = {}
        for name, tags in self._tags.items():
            new = [tags[label] for label in output[name.removesuffix("_spans")]]
            output[name], after[name] = continue_spans(new, self.lengths[row], last.get(name, LastTag()))
        self._new_notes[row] = after


def _tags_of(head: "Task") -> dict[str, Tag] | None:
    """Return the prefix and the type of each label whose spans a head predicts."""
    scheme = getattr(head, "scheme", None)
    if scheme is None:
        return None
    names = cast("Tagger", head).labels.predictable
    return dict(zip(names, parse_tags(names, scheme), strict=True))


def check_task(model: "Task | MultiTask") -> None:
    """Check that a task's outputs depend on no later token, and can be computed from a state.

    Raises:
        ValueError: They do, or cannot.
    """
    task = type(model).__name__
    if len(model.sides) > 1:
        raise ValueError(
            f"{task} cannot stream: it reads pairs of sequences, {model.sides[0]} and {model.sides[1]}; call "
            f"predict on whole pairs"
        )
    for problem in _problems_of_heads(model):
        raise ValueError(f"{task} cannot stream: {problem}, or call predict on whole sequences")
    check_encode(model)
    for column, embedding in zip(model.sides[0], model.embeddings, strict=True):
        if model.spec["inputs"][column]["kind"] != "nested":  # its sequences are within one token
            check_tokenwise(f"the embedding of input {column!r}", embedding, task)
    check_steps(f"encoder {type(model.encoder).__name__}", model.encoder, task)


def _problems_of_heads(model: "Task | MultiTask") -> Iterator[str]:
    """Yield what a head reads of whole sequences, and the remedy."""
    for column, head in model.heads.items():
        if not head.is_aligned:
            yield f"the labels of target {column!r} belong to no token of the input; train a Tagger"
        if getattr(head, "decoder", None) is not None:
            yield (
                f"the decoder of target {column!r} chooses the labels of a sequence together; train a Tagger "
                f"without decoder"
            )
        if head.pooling is not None and not isinstance(head.pooling, LastPool):
            yield (
                f"{type(head.pooling).__name__} of target {column!r} reads all tokens of a sequence; train it with "
                f"LastPool"
            )
