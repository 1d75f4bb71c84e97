"""The stream of a language model: scores of each new token, and what comes next."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.batch import Batch
from seqkit.options import integer
from seqkit.packed import PackedLayout
from seqkit.tasks.language_model.generation import excluded_ids
from seqkit.tasks.outputs import check_outputs
from seqkit.tasks.stream.steps import (
    State,
    advance,
    check_encode,
    check_steps,
    check_tokenwise,
    merge_rows,
    select_rows,
)
from seqkit.tasks.stream.stream import Stream

if TYPE_CHECKING:
    from seqkit.tasks.language_model.module import LanguageModel


class LanguageStream(Stream):
    """A stream of a :class:`~seqkit.LanguageModel`; see :class:`~seqkit.tasks.stream.Stream`.

    An output has the ``nll`` of each new token; ``end_nll``, that of the row's end if it came now; and the
    ``perplexity`` of all tokens read so far and this end. :meth:`next_tokens` and :meth:`log_probs` say what comes
    next, also before the first token.

    Args:
        model: The model, in any mode; it reads in evaluation and without gradients.
        batch_size: B, the number of rows; None for one row, whose values and outputs are in no list.

    Raises:
        ValueError: The model has two directions, or its encoder takes no state.
    """

    model: "LanguageModel"

    def __init__(self, model: "LanguageModel", batch_size: int | None = None) -> None:
        if model.backward_encoder is not None:
            raise ValueError(
                "LanguageModel cannot stream: with bidirectional=True it reads rows in both directions; train it "
                "with bidirectional=False, or call predict on whole rows"
            )
        check_encode(model)
        check_tokenwise(f"the embedding of input {model.column!r}", model.embeddings[0], type(model).__name__)
        check_steps(f"encoder {type(model.encoder).__name__}", model.encoder, type(model).__name__)
        super().__init__(model, batch_size, per_token=["nll"])

    def log_probs(self) -> Tensor:
        """Return the log-probability of each id as the next token, (B, C); the last one is that of the end."""
        with self._evaluation():
            _, last, _ = cast(tuple[State, Tensor, Tensor], self._state)
            return self.model.softmax.log_probs(last[0])

    def next_tokens(self, count: int = 5) -> Any:
        """Return the most probable next tokens and their probabilities, the most probable first.

        Neither the end nor the unknown token is among them.

        Args:
            count: The number of tokens.

        Returns:
            For each of the B rows, or for the one without ``batch_size``, ``{token: probability}``.

        Raises:
            ValueError: ``count`` is less than 1.
        """
        integer("count", count, 1)
        excluded = excluded_ids(self.model, may_end=False)
        log_probs = self.log_probs().index_fill(1, excluded, -torch.inf)
        found = packed.to_host(list(log_probs.topk(min(count, log_probs.shape[1] - len(excluded)))))
        rows = [
            {self._token(number): probability for number, probability in zip(ids, probabilities, strict=True)}
            for probabilities, ids in zip(found[0].exp().tolist(), found[1].tolist(), strict=True)
        ]
        return rows[0] if self._is_single else rows

    def _begin(self, rows: Sequence[int]) -> None:
        """Read the boundary, which precedes the first token."""
        device = self.model.device
        with self._evaluation():
            boundary = torch.tensor([self.model.boundary], device=device)
            hidden, kept = self._advance(PackedSequence(boundary, torch.tensor([1])), None)
            end = float(self.model.softmax.nll(hidden.data, boundary))
            # Many small numbers are added.
            total = hidden.data.new_zeros(1, 1, dtype=torch.float32 if device.type == "mps" else torch.float64)
            begun = select_rows((kept, hidden.data[None], total), boundary.new_zeros(len(rows)))
            index = torch.tensor(rows, dtype=torch.long, device=device)
            self._state = merge_rows(self._state, begun, index, len(self.lengths))
        for row in rows:
            self._outputs[row] = {"nll": [], "end_nll": end, "perplexity": math.exp(end)}

    def _begins(self, row: int) -> bool:  # noqa: ARG002
        return False

    def _read(self, batch: Batch, state: State | None) -> tuple[list[dict[str, Any]], State]:
        kept, last, total = cast(tuple[State, Tensor, Tensor], state)  # (1, B, H), (1, B)
        ids = batch.inputs[self.model.column]
        hidden, kept = self._advance(ids, kept)
        # A token is predicted from the output before it, the first one from that of the push before.
        before = torch.cat([hidden.data, last[0]]).index_select(0, PackedLayout.of(ids).previous)
        nll = ids._replace(data=self.model.softmax.nll(before, ids.data))
        total = total + packed.sum(nll._replace(data=nll.data.to(total.dtype)))
        after = packed.last(hidden)
        end = self.model.softmax.nll(after, ids.data.new_full((len(after),), self.model.boundary))
        scores, ends, totals = packed.to_host([nll, end, total[0]])
        check_outputs(self.model, scores.data.isnan().any())
        counts = packed.lengths(scores) + torch.tensor([self.lengths[row] for row in batch.rows.tolist()]) + 1
        outputs = zip(
            [values.tolist() for values in packed.unpack(scores)],
            ends.tolist(),
            ((totals + ends) / counts).exp().tolist(),
            strict=True,
        )
        names = ("nll", "end_nll", "perplexity")
        return [dict(zip(names, output, strict=True)) for output in outputs], (kept, after[None], total)

    def _advance(self, ids: PackedSequence, state: State | None) -> tuple[PackedSequence, State]:
        """Run the encoder over new ids, data (N,); return its output, data (N, H), and what it keeps."""
        hidden, _, kept = advance(self.model.encoder, self.model.embeddings[0](ids), state)
        return hidden, kept

    def _token(self, number: int) -> Any:
        """Return the token of an id, as a push takes it."""
        found = self.model.vocabulary.decode([[number]])[0]
        return found if isinstance(found, str) else found[0]
