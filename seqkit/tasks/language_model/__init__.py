"""The next token, given all before it."""

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, cast

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Adam
from torchmetrics import MetricCollection

from seqkit import packed
from seqkit.batch import Batch
from seqkit.data.continuous import BPTTSampler
from seqkit.data.encoders import Encoder, input_encoder
from seqkit.decoding import sample
from seqkit.losses import unit_values
from seqkit.metrics import language_metrics
from seqkit.nn import EmbeddingDropout, LockedDropout, OutputSoftmax, Softmax, map_state
from seqkit.tasks.encoder_task import check_output_size, check_steps_kept, reads_back
from seqkit.tasks.module import Part, Predictions, Schedule, SequenceModule, TaskOutput

State = Any
"""An encoder's state: a tensor (layers, B, H), or a tuple of such."""


class LanguageModel(SequenceModule):
    """Predict each token of a row of ids from those before it, and then the row's end.

    The data has one input column and no target. One id is added after the last of its encoder: the boundary, which
    is read before a row's first token and predicted after its last. A row of L tokens therefore counts L + 1, and
    all of them weigh the same.

    In ``continuous`` text (see :class:`seqkit.data.Continuous`) a batch goes on where the one before ended, with
    the encoder's states, detached; the data says which tokens count there. After a resume in mid-epoch the states
    are those of the interrupted run where one process has them all; on several ranks they begin at zero again.

    ``val_loss`` is in nats a token; perplexity and bits say the same.

    Regularisation is that of AWD-LSTM (Merity and others 2017, https://arxiv.org/abs/1708.02182): the dropout of
    recurrent weights and between layers is the encoder's (``weight_dropout``, ``locked_dropout``), the averaging of
    weights that of :class:`seqkit.callbacks.NonMonotonicAveraging`.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``.
        encoder: The encoder, without its ``input_size``, in one direction; see :class:`~seqkit.tasks.base.Task`.
            For continuous text it takes its state as second argument, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding, without its number of ids.
        softmax: The output layer, without its sizes; :class:`seqkit.nn.AdaptiveSoftmax` for large vocabularies.
        tied: Whether the output layer's weights are the embedding's; drawn from U(-0.1, 0.1) then.
        bidirectional: Also predict each token from those after it, by a second encoder that shares the embedding
            and the output layer, as ELMo does (Peters and others 2018, https://arxiv.org/abs/1802.05365). Neither
            sees the token. The loss is the mean of both directions. Row by row only.
        embedding_dropout: Probability of dropping an id from a batch.
        input_dropout: Probability of dropping a feature of the embedding, in all of a sequence's tokens.
        output_dropout: Probability of dropping a feature of the encoder's output, in all of a sequence's tokens.
        activation_penalty: Weight of the mean square of the dropped output (AWD-LSTM's alpha), added to the
            training loss of each token.
        temporal_penalty: Weight of the mean square of the output's change between tokens (AWD-LSTM's beta).
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The schedule; see :data:`~seqkit.tasks.module.Schedule`.

    Raises:
        ValueError: The data has a target, not one input of ids; a bidirectional encoder; tied weights that do not
            fit.
    """

    def __init__(
        self,
        spec: dict[str, Any],
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
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: Schedule | None = None,
    ) -> None:
        super().__init__(spec, optimizer, lr_scheduler)
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
        features = cast(int, self.embeddings[0].output_size)
        self.encoder = _one_way(encoder(features))
        self.backward_encoder = _one_way(encoder(features)) if bidirectional else None
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
        self._states: dict[str, State] = {}  # by stage, after the last piece of continuous text
        self._add_metrics()

    def build_metrics(self) -> list[MetricCollection]:
        """Perplexity and bits."""
        characters = self.entry["class_path"].rpartition(".")[2] == "Characters"
        return [language_metrics("character" if characters else "token")]

    def plan_units(self, plan: Any) -> float:
        """The mean number of tokens of a step, with the rows' ends."""
        ends = 0.0 if isinstance(plan, BPTTSampler) else plan.sequences_per_step
        return float(plan.tokens_per_step + ends)

    # The model.

    def forward(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        """Log-probabilities of each row's tokens and of its end.

        Args:
            inputs: By column, packed ids, data (N,).

        Returns:
            Packed, data (N + B, C), a row's sequence one longer than it: at place t those of token t given the ones
            before, at the last place those of the end, which is the last class.
        """
        ids, _ = framed(self._ids(inputs), self.boundary)
        hidden, _, _ = self._read(ids, self.encoder, None)
        return hidden._replace(data=self.softmax.log_probs(hidden.data))

    def backward_log_probs(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        """Log-probabilities of each row's tokens given the ones after, by the second direction.

        Returns:
            Packed as the input, data (N, C).
        """
        reverse = packed.reverse(self._ids(inputs))
        ids, target = framed(reverse, self.boundary)
        hidden, _, _ = self._read(ids, self._backward(), None)
        of_tokens = hidden.data[target.data != self.boundary]  # (N, H), in the order of `reverse`
        return packed.reverse(reverse._replace(data=self.softmax.log_probs(of_tokens)))

    def _ids(self, inputs: dict[str, PackedSequence]) -> PackedSequence:
        if self.column not in inputs:
            raise KeyError(f"the batch lacks the input {self.column!r}; it has {list(inputs)}")
        return inputs[self.column]

    def _backward(self) -> nn.Module:
        if self.backward_encoder is None:
            raise ValueError("this LanguageModel has one direction; build it with bidirectional=True")
        return self.backward_encoder

    def _read(
        self, ids: PackedSequence, encoder: nn.Module, state: State | None
    ) -> tuple[PackedSequence, PackedSequence, State]:
        """The encoder's output with and without dropout, and its state."""
        embedded = self.input_dropout(self.embedding_dropout(self.embeddings[0](ids), ids))
        hidden, state = encoder(embedded) if state is None else encoder(embedded, state)
        return self.output_dropout(hidden), hidden, state

    # The step.

    def step(self, batch: Batch, stage: str) -> Tensor:
        """Compute a batch's loss and log it with the metrics of the stage.

        Returns:
            In training, :meth:`SequenceModule.objective` of nats and penalties; otherwise the mean
            of the nats.
        """
        if not len(batch.rows):
            return self.no_objective()
        return self._loss_and_update(*self._read_batch(batch, stage), stage)

    def test_step(self, batch: Batch, _: int) -> dict[str, TaskOutput]:
        """One batch of the test split; callbacks get the nats of each token beside its id, the ends' with them.

        Of rows packed, data (N + B,); of continuous text, which has none, (N,). In two directions the mean of both.
        """
        if not len(batch.rows):
            return {}
        outcome, penalty = self._read_batch(batch, "test")
        self._loss_and_update(outcome, penalty, "test")
        return {self.column: outcome}

    @property
    def heads(self) -> "dict[str, LanguageModel]":
        """By column, what reads the encoder for it: the model itself; see :class:`~seqkit.tasks.base.Task`."""
        return {self.column: self}

    def sequence_losses(self, outcome: TaskOutput) -> Tensor:
        """The mean nats a token of each row, its end with them, (B,)."""
        return packed.mean(cast(PackedSequence, outcome.output))

    def _loss_and_update(self, outcome: TaskOutput, penalty: Tensor, stage: str) -> Tensor:
        """Take a batch into the metrics; the loss, see :meth:`step`."""
        nats = unit_values(outcome.output)
        total, units = nats.sum(), torch.tensor(len(nats), device=nats.device)
        with torch.no_grad():
            found = total.detach()
            self._measure(stage, found, units, lambda: [(found, units)])
        return self.objective(total + penalty, units) if stage == "train" else total / units

    def _read_batch(self, batch: Batch, stage: str) -> tuple[TaskOutput, Tensor]:
        """The nats of a batch's tokens beside their ids, and the penalties."""
        if self.column in batch.targets:
            target = cast(PackedSequence, batch.targets[self.column])
            nats, penalty = self._continued(self._ids(batch.inputs), target, stage)
            return TaskOutput(nats, target.data), penalty
        rows = self._ids(batch.inputs)
        ids, target = framed(rows, self.boundary)
        nats, penalty, _ = self._nats(ids, target, self.encoder, None)
        if self.backward_encoder is not None:
            back, other, _ = self._nats(*framed(packed.reverse(rows), self.boundary), self.backward_encoder, None)
            # Each token's beside its own in the other direction, and the begin's beside the end's.
            ends = target.data == self.boundary
            turned = back.masked_scatter(~ends, packed.reverse(rows._replace(data=back[~ends])).data)
            nats, penalty = (nats + turned) / 2, (penalty + other) / 2
        return TaskOutput(target._replace(data=nats), target), penalty

    def _continued(self, ids: PackedSequence, target: PackedSequence, stage: str) -> tuple[Tensor, Tensor]:
        """The nats (N,) of a piece of continuous text, read on from the state of the one before; the penalties."""
        if self.backward_encoder is not None:
            raise ValueError(
                "LanguageModel with bidirectional=True cannot read continuous text, whose later tokens it has not; "
                "leave `continuous` out of the data, or set bidirectional=False"
            )
        _check_goes_on(self.encoder)
        state, streams = self._states.get(stage), int(ids.batch_sizes[0])
        if state is not None and _first(state).shape[1] < streams:
            state = None  # a checkpoint's, from fewer streams
        if state is not None:
            state = map_state(state, lambda values: values[:, :streams].contiguous())
        nats, penalty, state = self._nats(ids, target, self.encoder, state)
        self._states[stage] = map_state(state, lambda values: values.detach())
        return nats, penalty

    def _nats(
        self, ids: PackedSequence, target: PackedSequence, encoder: nn.Module, state: State | None
    ) -> tuple[Tensor, Tensor, State]:
        """The nats (N,) of the tokens, the penalties, and the encoder's state."""
        dropped, hidden, state = self._read(ids, encoder, state)
        nats = self.softmax.nll(dropped.data, target.data)
        penalty = nats.new_zeros(())
        if self.training and self.activation_penalty:
            penalty = penalty + self.activation_penalty * dropped.data.square().mean(-1).sum()
        if self.training and self.temporal_penalty:
            firsts = int(ids.batch_sizes[0])  # tokens before which there is none
            change = (hidden.data - packed.shift(hidden, 1, 0.0).data)[firsts:]
            penalty = penalty + self.temporal_penalty * change.square().mean(-1).sum()
        return nats, penalty, state

    def predict_step(self, batch: Batch, _: int) -> Predictions:
        """Score each row's tokens.

        Returns:
            ``nats``, the negative log-probability of each token; ``end_nats``, that of the row's end (which a net
            that has read continuous text without ends has not learned); ``perplexity`` over both. In two directions
            also ``backward_nats`` and ``begin_nats``.
        """
        rows = batch.rows.tolist()
        columns: dict[str, list[Any]] = {"nats": [], "end_nats": [], "perplexity": []}
        if self.backward_encoder is not None:
            columns |= {"backward_nats": [], "begin_nats": []}
        if not rows:
            return Predictions([], columns)
        ids = self._ids(batch.inputs)
        scored = packed.unpack(self._scores(ids, self.encoder))
        columns["nats"] = [values[:-1].tolist() for values in scored]
        columns["end_nats"] = [values[-1].item() for values in scored]
        columns["perplexity"] = [values.mean().exp().item() for values in scored]
        if self.backward_encoder is not None:
            scored = packed.unpack(self._scores(packed.reverse(ids), self.backward_encoder))
            columns["backward_nats"] = [values[:-1].flip(0).tolist() for values in scored]
            columns["begin_nats"] = [values[-1].item() for values in scored]
        return Predictions(rows, columns)

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """What ids stand for, one by one, the end of a row as ``(end)``."""
        model = getattr(self.vocabulary, "model", None)
        names = (
            model.id_to_token(i) if model else self.vocabulary.decode([[i]])[0] for i in ids if i < self.boundary
        )
        return ["(end)" if i == self.boundary else str(next(names)) for i in ids]

    def _scores(self, rows: PackedSequence, encoder: nn.Module) -> PackedSequence:
        """The nats of each row's tokens and then of its end, packed, data (N + B,)."""
        ids, target = framed(rows, self.boundary)
        hidden, _, _ = self._read(ids, encoder, None)
        return target._replace(data=self.softmax.nll(hidden.data, target.data))

    # Text.

    @cached_property
    def vocabulary(self) -> Encoder:
        """The encoder of the data, from values to ids and back."""
        return input_encoder(self.spec, self.column)

    @torch.no_grad()
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
        """Continue rows, all at once.

        Args:
            prompts: B values of the input column: texts, or lists of words. An empty one begins a row.
            max_tokens: Tokens to add to each, at most.
            temperature: See :func:`~seqkit.decoding.sample`; 0 takes the likeliest token.
            top_k: Draw from so many likeliest tokens only.
            top_p: Draw from the likeliest tokens that have this probability together.
            seed: Of the random numbers, which are the call's own.
            may_end: Whether a row may end before it has all its tokens.

        Returns:
            The B prompts with what follows, as the vocabulary decodes it. A token unknown to it is never drawn.

        Raises:
            ValueError: No prompt, or an encoder that takes no state; see also
                :func:`~seqkit.decoding.sample`.
        """
        if not prompts:
            raise ValueError("generate needs at least one prompt; an empty one, [''], begins a row")
        _check_goes_on(self.encoder)
        generator = torch.Generator(self.device).manual_seed(seed)
        next_token = partial(sample, generator=generator, temperature=temperature, top_k=top_k, top_p=top_p)
        # One by one, as a column of empty lists has no type.
        encoded = [self.vocabulary.encode([prompt])[0] if len(prompt) else [] for prompt in prompts]
        training = self.training
        self.eval()
        try:
            added = self._continue(encoded, max_tokens, self._never_drawn(may_end), next_token)
        finally:
            self.train(training)
        return self.vocabulary.decode([row + more for row, more in zip(encoded, added, strict=True)])

    def _continue(
        self, rows: list[list[int]], max_tokens: int, never: Tensor, next_token: Callable[[Tensor], Tensor]
    ) -> list[list[int]]:
        """The ids that follow each of B rows of ids."""
        begun = [torch.tensor([self.boundary, *row], device=self.device) for row in rows]
        hidden, _, state = self._read(packed.pack(begun), self.encoder, None)
        last, sizes = packed.last(hidden), torch.tensor([len(rows)])  # (B, H)
        ended = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        drawn: list[Tensor] = []
        while len(drawn) < max_tokens and not ended.all():
            tokens = next_token(self.softmax.log_probs(last).float().index_fill(1, never, -torch.inf))
            ended |= tokens == self.boundary
            drawn.append(tokens.masked_fill(ended, self.boundary))
            hidden, _, state = self._read(PackedSequence(tokens, sizes), self.encoder, state)
            last = hidden.data
        columns = torch.stack(drawn, 1).tolist() if drawn else [[] for _ in rows]
        return [[i for i in column if i != self.boundary] for column in columns]

    def _never_drawn(self, may_end: bool) -> Tensor:
        """Classes that stand for no token that could be written."""
        never = [] if may_end else [self.boundary]
        tokenizer = getattr(self.vocabulary, "model", None)
        unknown = None if tokenizer is None else tokenizer.token_to_id(_unknown(tokenizer.model))
        return torch.tensor(never if unknown is None else [*never, unknown], device=self.device).long()

    # Hooks of Lightning.

    def on_train_start(self) -> None:
        """Take the plan's mean number of tokens, and bring a checkpoint's states to the model."""
        super().on_train_start()
        self._states = move_data_to_device(self._states, self.device)

    def on_train_epoch_start(self) -> None:
        """Begin the text."""
        super().on_train_epoch_start()
        self._states.pop("train", None)

    def on_validation_epoch_start(self) -> None:
        """Begin the text."""
        self._states.pop("val", None)

    def on_test_epoch_start(self) -> None:
        """Begin the text."""
        self._states.pop("test", None)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the streams, too, where one process has them all."""
        super().on_save_checkpoint(checkpoint)
        if "train" in self._states and self.trainer.world_size == 1:
            checkpoint["seqkit_streams"] = self._states["train"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the state of the streams."""
        super().on_load_checkpoint(checkpoint)
        if "seqkit_streams" in checkpoint:
            self._states["train"] = checkpoint["seqkit_streams"]


def framed(ids: PackedSequence, boundary: int) -> tuple[PackedSequence, PackedSequence]:
    """What a language model reads of rows, and what it predicts: their begin and their end added.

    Args:
        ids: Packed, data (N,).
        boundary: The id of both.

    Returns:
        The boundary and the row, and the row and the boundary: packed, data (N + B,).
    """
    # The data stands step by step, so that a first step is put before all others.
    begins = ids.data.new_full((int(ids.batch_sizes[0]),), boundary)
    read = ids._replace(
        data=torch.cat([begins, ids.data]), batch_sizes=torch.cat([ids.batch_sizes[:1], ids.batch_sizes])
    )
    return read, packed.shift(read, -1, boundary)


def _one_way(encoder: nn.Module) -> nn.Module:
    check_output_size(encoder)
    if reads_back(encoder):
        raise ValueError(
            f"LanguageModel predicts the next token, but encoder {type(encoder).__name__} is bidirectional: its "
            f"backward direction has read that token already; set the encoder's bidirectional=False, and for both "
            f"directions LanguageModel's bidirectional=True, which trains two encoders apart"
        )
    check_steps_kept(encoder, "LanguageModel")
    return encoder


def _check_goes_on(encoder: nn.Module) -> None:
    if len(inspect.signature(encoder.forward).parameters) < 2:
        raise ValueError(
            f"encoder {type(encoder).__name__} takes no state to go on from, as continuous text and generate need; "
            f"use seqkit.nn.LSTM, GRU or RNN as the encoder"
        )


def _unknown(model: Any) -> str:
    """The unknown token of a model of the `tokenizers` library; empty if it has none."""
    return getattr(model, "unk_token", None) or ""


def _first(state: State) -> Tensor:
    return state if isinstance(state, Tensor) else _first(state[0])
