"""A Lightning module that predicts raw rows."""

from functools import cached_property
from typing import Any, Literal

from lightning.pytorch import LightningModule

from seqkit.tasks.prediction.predict import predict
from seqkit.tasks.prediction.rows import RowReader

MAX_TOKENS = 16384
"""The token budget of a batch of predictions, by default."""


class PredictingModule(LightningModule):
    """Predicts rows as they are before encoding, by a ``predict_step`` that returns plain Python objects.

    Attributes:
        spec: What the data determines: ``SequenceDataModule.spec``.
    """

    spec: dict[str, Any]

    def predict(
        self,
        rows: Any,
        *,
        max_tokens: int = MAX_TOKENS,
        progress: bool | None = None,
        scores: bool = False,
        empty: Literal["raise", "none"] = "raise",
    ) -> Any:
        """Predict rows as they are before encoding: texts, lists of words, arrays.

        Rows are packed into batches of similar lengths, on the model's device, without gradients and in evaluation
        mode; each part of the model has its own mode again afterwards. The result of a row does not depend on the
        other rows, up to the rounding of floating-point sums.

        Args:
            rows: A list of dicts, or of values if the inputs read a single column of the data; one such row alone;
                a dict of columns; a ``datasets.Dataset``; a frame of pandas or polars; an arrow table. Or a stream:
                an ``IterableDataset``, a generator or any other iterable of such rows. Further columns are ignored.
            max_tokens: The largest number of tokens in a batch; a longer row is a batch of its own.
            progress: Whether there is a bar on a terminal; by default after one second of work.
            scores: Whether to return probabilities, too.
            empty: What to do with a row without tokens: ``raise`` an error, or let its result be None.

        Returns:
            A dict for each row, in the order of the rows; the dict alone for one row alone. For a stream an
            iterator, which reads a thousand rows at a time. All values are plain Python objects:

            - ``TARGET``: the label, the value, or a list with one for each token; a list of labels for sets and
              for label sequences; of a :class:`seqkit.Forecaster` the next steps.
            - ``TARGET_spans``, if tags follow a scheme: the ``type``, ``start`` and ``end`` of each span, in
              tokens; the end is exclusive.
            - ``TARGET_scores``, if asked for: the probability of each label by its name; for one label per token,
              and for label sequences, a list with the probability of each predicted label, which a CRF computes
              over all sequences of labels. Values have none.
            - ``INPUT_attention``, if the task has it: the weight of each token.
            - of a :class:`seqkit.LanguageModel`: see its ``predict_step``.

        Raises:
            TypeError: ``rows`` is something else.
            ValueError: A value cannot be encoded, or a row is empty; names the row, counted from 0, and the column.
        """
        return predict(self, rows, max_tokens=max_tokens, progress=progress, scores=scores, empty=empty)

    @cached_property
    def row_reader(self) -> RowReader:
        """Reads and encodes the rows that :meth:`predict` gets."""
        return RowReader(self.spec)
