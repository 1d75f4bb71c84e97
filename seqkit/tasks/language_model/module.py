"""The language model's layers, loss, steps and predictions."""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Unpack, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.data.continuous import BPTTSampler
from seqkit.data.encoders import Encoder, input_encoder
from seqkit.losses import Values, unit_values
from seqkit.metrics import PositionReport, ReportMetric, TokenReport, language_metrics
from seqkit.nn import EmbeddingDropout, LockedDropout, OutputSoftmax, Softmax, map_state
from seqkit.tasks.inputs import set_unknown_id
from seqkit.tasks.language_model import generation, scoring
from seqkit.tasks.language_model.encoders import State, check_takes_state, checked_encoder, first_sequences
from seqkit.tasks.language_model.scoring import add_boundaries
from seqkit.tasks.language_model.states import gather_sequences, rank_sequences
from seqkit.tasks.language_model.stream import LanguageStream
from seqkit.tasks.module import OptimizerOptions, Part, SequenceModule
from seqkit.tasks.outputs import Predictions, RowReport, TaskOutput


class LanguageModel(SequenceModule):
    """Predict each token of a row of ids from the tokens before it, and then the row's end.

    The data has one input column and no target. One id is added to those of its encoder: the boundary, which is
    read before a row's first token and predicted after its last. A row of L tokens therefore counts L + 1 units,
    which all weigh the same. The output per unit is its negative log-likelihood (NLL) in nats.

    In ``continuous`` text (see :class:`seqkit.data.Continuous`) a batch continues where the previous one ended,
    with the encoder's states, detached; the data says which tokens count there. A run that resumes in
    mid-epoch continues with the states of the interrupted one, on any number of ranks.

    ``val_loss`` is in nats per token; perplexity and bits express the same.

    Regularisation is that of AWD-LSTM (Merity and others 2017, https://arxiv.org/abs/1708.02182): the dropout of
    recurrent weights and between layers is the encoder's (``weight_dropout``, ``locked_dropout``), the averaging of
    weights that of :class:`seqkit.callbacks.NonMonotonicAveraging`.

    Args:
        spec: What the data determines: ``SequenceDataModule.spec``.
        encoder: The encoder, without its ``input_size``, in one direction; see :class:`~seqkit.Task`. For
            continuous text it takes its state as second argument, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding, without its number of ids.
        softmax: The output layer, without its sizes; :class:`seqkit.nn.AdaptiveSoftmax` for large vocabularies.
        tied: Whether the output layer's weights are the embedding's; they are then initialised from U(-0.1, 0.1).
        bidirectional: Also predict each token from those after it, by a second encoder that shares the embedding
            and the output layer, as ELMo does (Peters and others 2018, https://arxiv.org/abs/1802.05365). Neither
            encoder sees the token. The loss is the mean of both directions. Not for continuous text.
        embedding_dropout: Probability of dropping an id from a batch.
        input_dropout: Probability of dropping a feature of the embedding, in all of a sequence's tokens.
        output_dropout: Probability of dropping a feature of the encoder's output, in all of a sequence's tokens.
        activation_penalty: Weight of the mean square of the dropped output (AWD-LSTM's alpha), added to the
            training loss of each token.
        temporal_penalty: Weight of the mean square of the output's change between tokens (AWD-LSTM's beta).
        options: ``optimizer``, ``lr_scheduler``, ``lr_interval`` and ``lr_monitor``; see :class:`SequenceModule`.

    Raises:
        ValueError: A target, or not one input of ids; a bidirectional encoder; tied weights that do not fit.
    """

    summary_title = "costliest tokens"

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        encoder: Part,
        embedding: Part,
        softmax: Callable[[int, int], OutputSoftmax] = Softmax,
        tied: bool = False,
        bidirectional: bool = False,
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        activation_penalty: float = 0.0,
        temporal_penalty: float = 0.0,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(spec, **options)
        kinds = [entry["kind"] for entry in spec["inputs"].values()]
        if kinds != ["ids"] or spec["targets"]:
            raise ValueError(
                f"LanguageModel predicts the ids that it reads, but the data has the inputs {list(spec['inputs'])} "
                f"({', '.join(kinds)}) and the targets {list(spec['targets'])}; name one column of ids in `inputs` "
                f"and none in `targets`"
            )
        self.column, self.entry = next(iter(spec["inputs"].items()))
        self.boundary = int(self.entry["size"])
        size = self.boundary + 1
        self.embeddings = nn.ModuleList([embedding(size)])
        set_unknown_id(self.embeddings[0], spec["inputs"], self.column)
        features = cast(int, self.embeddings[0].output_size)
        self.encoder = checked_encoder(encoder(features))
        self.backward_encoder = checked_encoder(encoder(features)) if bidirectional else None
        self.softmax = softmax(cast(int, self.encoder.output_size), size)
        if tied:
            weight = cast(nn.Parameter, self.embeddings[0].weight)
            nn.init.uniform_(weight, -0.1, 0.1)
            self.softmax.tie(weight)
        self.embedding_dropout = EmbeddingDropout(size, embedding_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.output_dropout = LockedDropout(output_dropout)
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self._states: dict[str, State] = {}  # by stage, after the last batch of continuous text
        self.add_metrics()

    @property
    def heads(self) -> dict[str, SequenceModule]:
        """The model itself, by its input column."""
        return {self.column: self}

    def build_metrics(self) -> list[MetricCollection]:
        """Build perplexity and bits."""
        characters = self.entry["class_path"].rpartition(".")[2] == "Characters"
        return [language_metrics("character" if characters else "token")]

    def metric_inputs(self, output: Values, target: Values) -> list[tuple[Values, Values]]:  # noqa: ARG002
        """Return the sum of the NLL of a batch's tokens, and their number."""
        nll = unit_values(output)
        return [(nll.sum(), torch.full((), len(nll), device=nll.device))]

    def build_report(self) -> list[ReportMetric]:
        """Build the reports by token and by position."""
        return [TokenReport(self.boundary + 1, partial(scoring.token_names, self)), PositionReport()]

    def report_inputs(self, output: Values, target: Values) -> list[tuple[Values, ...]]:
        """Return the NLL of each token beside its id, and the NLL alone."""
        return [(output, target), (output,)]

    def describe_rows(self, output: TaskOutput, places: Sequence[int]) -> list[RowReport]:
        """Describe some rows by the NLL of their tokens."""
        return scoring.describe_rows(self, output, places)

    def plan_units(self, plan: Any) -> float:
        """Return the mean number of tokens in a step, with the rows' ends."""
        ends = 0.0 if isinstance(plan, BPTTSampler) else plan.sequences_per_step
        return float(plan.tokens_per_step + ends)

    def batch_units(self, batch: Batch) -> int:
        """Return the number of tokens in a batch, with the rows' ends, which continuous text has not."""
        return super().batch_units(batch) + (0 if batch.targets else len(batch.rows))

    # The model.

    def forward(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        """Compute log-probabilities of each row's tokens and of its end.

        Args:
            inputs: By column, packed ids, data (N,).

        Returns:
            Packed, data (N + B, C), a row's sequence one longer than it: at step t those of token t given the
            tokens before it, at the last step those of the end, which is the last class.
        """
        ids, _ = add_boundaries(self._ids(inputs), self.boundary)
        hidden, _, _ = self.encode(ids, self.encoder, None)
        return hidden._replace(data=self.softmax.log_probs(hidden.data))

    def backward_log_probs(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        """Compute log-probabilities of each row's tokens given those after, by the second direction.

        Returns:
            Packed as the input, data (N, C).
        """
        if self.backward_encoder is None:
            raise ValueError("this LanguageModel has one direction; build it with bidirectional=True")
        reverse = packed.reverse(self._ids(inputs))
        ids, target = add_boundaries(reverse, self.boundary)
        hidden, _, _ = self.encode(ids, self.backward_encoder, None)
        of_tokens = hidden.data[scoring.token_places(reverse, target)]  # (N, H), in the order of `reverse`
        return packed.reverse(reverse._replace(data=self.softmax.log_probs(of_tokens)))

    def encode(
        self, ids: PackedSequence, encoder: nn.Module, state: State | None
    ) -> tuple[PackedSequence, PackedSequence, State]:
        """Embed and encode ids, data (N,).

        Returns:
            The encoder's output after dropout and before it, data (N, H) each, and its state.
        """
        embedded = self.input_dropout(self.embedding_dropout(self.embeddings[0](ids), ids))
        hidden, state = encoder(embedded) if state is None else encoder(embedded, state)
        return self.output_dropout(hidden), hidden, state

    def _ids(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        if self.column not in inputs:
            raise KeyError(f"the batch lacks the input {self.column!r}; it has {list(inputs)}")
        return inputs[self.column]

    # The loss.

    def loss_and_outputs(self, batch: Batch, stage: str) -> tuple[Tensor, dict[str, TaskOutput]]:
        """Compute a batch's loss, update the metrics of the stage, and log the batch's values.

        Returns:
            In training, :meth:`SequenceModule.objective` of NLL and penalties; otherwise the mean NLL. And the NLL
            of each token beside its id, with the rows' ends: packed, data (N + B,), or (N,) for continuous text,
            which has no rows. In two directions the mean of both.
        """
        output, penalty = self._score_batch(batch, stage)
        nll = unit_values(output.output)
        total, units = nll.sum(), torch.full((), len(nll), device=nll.device)
        with torch.no_grad():
            values = self.update_metrics(stage, total.detach(), units, output)
        self.log_values(values)
        loss = self.objective(total + penalty, units) if stage == "train" else total / units
        return loss, {self.column: output}

    def sequence_losses(self, output: TaskOutput) -> Tensor:
        """Return the mean NLL per token of each row, with its end, (B,); (0,) for continuous text, without rows."""
        nll = output.output
        return packed.mean(nll) if isinstance(nll, PackedSequence) else nll.new_empty(0)

    def _score_batch(self, batch: Batch, stage: str) -> tuple[TaskOutput, Tensor]:
        """Compute the NLL of a batch's tokens, with their ids as the target, and the penalties."""
        if self.column in batch.targets:
            target = cast(PackedSequence, batch.targets[self.column])
            nll, penalty = self._score_continuous(self._ids(batch.inputs), target, stage)
            return TaskOutput(nll, target.data), penalty
        rows = self._ids(batch.inputs)
        ids, target = add_boundaries(rows, self.boundary)
        nll, penalty, _ = self._score(ids, target, self.encoder, None)
        if self.backward_encoder is not None:
            reverse = add_boundaries(packed.reverse(rows), self.boundary)
            backward_nll, other, _ = self._score(*reverse, self.backward_encoder, None)
            backward_nll = scoring.align_backward_nll(backward_nll, rows, target)
            nll, penalty = (nll + backward_nll) / 2, (penalty + other) / 2
        return TaskOutput(target._replace(data=nll), target), penalty

    def _score_continuous(self, ids: PackedSequence, target: PackedSequence, stage: str) -> tuple[Tensor, Tensor]:
        """The NLL (N,) of continuous text, read from the state after the previous batch; the penalties."""
        if self.backward_encoder is not None:
            raise ValueError(
                "LanguageModel with bidirectional=True cannot read continuous text, because a batch does not "
                "contain the later tokens; leave `continuous` out of the data, or set bidirectional=False"
            )
        check_takes_state(self.encoder)
        state, batch_size = self._states.get(stage), int(ids.batch_sizes[0])
        if state is not None:
            state = first_sequences(state, batch_size)
        nll, penalty, state = self._score(ids, target, self.encoder, state)
        self._states[stage] = map_state(state, lambda values: values.detach())
        return nll, penalty

    def _score(
        self, ids: PackedSequence, target: PackedSequence, encoder: nn.Module, state: State | None
    ) -> tuple[Tensor, Tensor, State]:
        """The NLL (N,) of the tokens, the penalties, and the encoder's state."""
        dropped, hidden, state = self.encode(ids, encoder, state)
        nll = self.softmax.nll(dropped.data, target.data)
        return nll, scoring.penalty(self, nll, dropped, hidden), state

    # Predictions.

    def predict_step(self, batch: Batch, _: int, *, scores: bool = False) -> Predictions:  # noqa: ARG002
        """Score each row's tokens.

        Returns:
            ``nll``, the negative log-likelihood of each token; ``end_nll``, that of the row's end (which a model
            trained on continuous text without ends has not learned); ``perplexity`` over both. In two directions
            also ``backward_nll`` and ``begin_nll``. These are its scores: there are no others.
        """
        if not len(batch.rows):
            return Predictions([], {})
        return scoring.predict(self, batch.rows, self._ids(batch.inputs))

    @cached_property
    def vocabulary(self) -> Encoder:
        """The encoder of the data, from values to ids and back."""
        return input_encoder(self.spec, self.column)

    def generate(
        self,
        prompts: Sequence[Any],
        max_tokens: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        may_end: bool = True,
    ) -> list[Any]:
        """Continue rows, all in one batch.

        Args:
            prompts: B values of the input column: texts, or lists of words. An empty one begins a row.
            max_tokens: The largest number of tokens to add to each.
            temperature: See :func:`~seqkit.decoding.sample`; 0 takes the most probable token.
            top_k: Sample only from this many most probable tokens.
            top_p: Sample only from the most probable tokens that have this probability together.
            seed: The seed of the random numbers of this call.
            may_end: Whether a row may end before it has all its tokens.

        Returns:
            The B prompts with their continuations, as the vocabulary decodes them. The unknown token is never
            sampled.

        Raises:
            TypeError: ``prompts`` is a text.
            ValueError: No prompt, or an encoder without a state; see also :func:`~seqkit.decoding.sample`.
        """
        return generation.generate(
            self, prompts, max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, may_end=may_end
        )

    def stream(self, batch_size: int | None = None) -> LanguageStream:
        """Open a stream, which reads rows as their tokens arrive; see :class:`LanguageStream`."""
        return LanguageStream(self, batch_size)

    # Hooks of Lightning.

    def on_train_start(self) -> None:
        """Take the plan's mean number of tokens, and move a checkpoint's states to the model's device."""
        super().on_train_start()
        self._states = move_data_to_device(self._states, self.device)

    def on_train_epoch_start(self) -> None:
        """Reset the state of the training text."""
        super().on_train_epoch_start()
        self._states.pop("train", None)

    def on_validation_epoch_start(self) -> None:
        """Reset the state of the validation text."""
        self._states.pop("val", None)

    def on_test_epoch_start(self) -> None:
        """Reset the state of the test text."""
        self._states.pop("test", None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also save the state of the training text on all ranks."""
        super().on_save_checkpoint(checkpoint)
        if "train" in self._states:
            checkpoint["seqkit_streams"] = gather_sequences(self._states["train"], self.attached_trainer)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also restore the state of the training text if a fit resumes."""
        super().on_load_checkpoint(checkpoint)
        trainer = self.attached_trainer
        if trainer is not None and trainer.training and "seqkit_streams" in checkpoint:
            self._states["train"] = rank_sequences(checkpoint["seqkit_streams"], trainer)
