"""What tasks that read an encoder share: the embeddings of one or several inputs, and the encoder."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, cast

from lightning.pytorch.cli import OptimizerCallable
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.nn.dropout import Dropout
from seqkit.nn.pooling import State
from seqkit.nn.resample import Downsample, Upsample
from seqkit.tasks.module import Part, Schedule, SequenceModule


class Encoded(NamedTuple):
    """A sequence after the encoder.

    Attributes:
        hidden: The output, data (N, H).
        state: The final state that the encoder gives beside it.
    """

    hidden: PackedSequence
    state: State


class EncoderTask(SequenceModule, ABC):
    """Embed and encode on packed data; what is read from that is up to the subclass.

    An input whose lengths are its own (``unaligned`` in the data module) makes a pair: both sequences go through
    the same embedding and encoder. It must be the only other input and be encoded into numbers as the main one is.

    Args:
        spec: What the data decides; ``SequenceDataModule.spec``.
        encoder: The encoder, without its ``input_size``; the built module has ``output_size`` and maps a
            PackedSequence to a PackedSequence and its state, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding of every input of ids, without its number of ids.
        embeddings: By column: the embedding of an input that needs its own, without its number of ids or, for
            features, their width. Features without one enter the encoder as they are; what holds a sequence of ids
            for each token, such as its characters, needs one that gives a vector each, such as
            :class:`seqkit.nn.CharacterLSTM`. All are concatenated.
        dropout: Probability of dropping a feature of the encoder's input.
        optimizer: The optimiser, without its parameters.
        lr_scheduler: The schedule; see :data:`~seqkit.tasks.module.Schedule`.
        causal: Whether the output at a step may depend on nothing later; refuses a bidirectional encoder.

    Raises:
        ValueError: An input of ids has no embedding; a bidirectional encoder in a causal task; an unaligned input
            that makes no pair.
        TypeError: A part from which a checkpoint could not rebuild the model (a lambda, say).
    """

    def __init__(
        self,
        spec: dict[str, Any],
        encoder: Part,
        embedding: Part | None,
        embeddings: dict[str, Part] | None,
        dropout: float,
        optimizer: OptimizerCallable,
        lr_scheduler: Schedule | None,
        causal: bool,
    ) -> None:
        super().__init__(spec, optimizer, lr_scheduler)
        self.sides = _sides(spec["inputs"])
        self.embeddings = nn.ModuleList()  # by position: a column may have any name
        parts = embeddings or {}
        input_size = 0
        for column in self.sides[0]:
            entry = spec["inputs"][column]
            part = parts.get(column, embedding if entry["kind"] == "ids" else None)
            if part is not None:
                self.embeddings.append(part(entry["size"]))
                input_size += cast(int, self.embeddings[-1].output_size)
            elif entry["kind"] == "features":
                self.embeddings.append(nn.Identity())
                input_size += entry["size"]
            elif entry["kind"] == "nested":
                raise ValueError(
                    f"input {column!r} holds a sequence of ids for each token, but `embeddings` has nothing for "
                    f"it; give, for example, seqkit.nn.CharacterLSTM with embedding_dim=32 and hidden_size=64"
                )
            else:
                raise ValueError(
                    f"input {column!r} holds ids, but no embedding is given; give `embedding`, for example "
                    f"seqkit.nn.Embedding with embedding_dim=64"
                )
        unknown = set(parts) - set(self.sides[0])
        if unknown:
            raise ValueError(f"embeddings for {sorted(unknown)}, but the inputs are {self.sides[0]}")
        self.encoder = encoder(input_size)
        _check_encoder(self.encoder, causal=causal, task=type(self).__name__)
        self.dropout = Dropout(dropout)

    @abstractmethod
    def read(self, encoded: list[Encoded]) -> Any:
        """Compute the outputs from the encoder's: :data:`~seqkit.losses.Values`, or a dict of them by target."""

    def forward(self, inputs: dict[str, PackedSequence]) -> Any:
        """Compute the outputs of a batch.

        Args:
            inputs: By column, packed, data (N, ...).

        Returns:
            Per token: packed, data (N, C). Per sequence: (B, C). Of several targets, by column.

        Raises:
            KeyError: An input column of the spec is missing.
        """
        return self.read(self.encode(inputs))

    def encode(self, inputs: dict[str, PackedSequence]) -> list[Encoded]:
        """Embed and encode: one sequence a row, or both sequences of a pair.

        Args:
            inputs: By column, packed, data (N, ...).

        Raises:
            KeyError: An input column of the spec is missing.
        """
        return [self._encode_side(inputs, columns) for columns in self.sides]

    def _encode_side(self, inputs: dict[str, PackedSequence], columns: list[str]) -> Encoded:
        features: list[PackedSequence] = []
        for column, embedding in zip(columns, self.embeddings, strict=True):
            if column not in inputs:
                raise KeyError(f"the batch lacks the input {column!r}; it has {list(inputs)}")
            found = embedding(inputs[column])
            # Of a sequence of sequences a vector each, in the order of the main input's data.
            features.append(found if isinstance(found, PackedSequence) else features[0]._replace(data=found))
        embedded = features[0] if len(features) == 1 else packed.cat(features)
        return Encoded(*self.encoder(self.dropout(embedded)))


def check_output_size(encoder: nn.Module) -> None:
    """Refuse what is no encoder."""
    if not isinstance(getattr(encoder, "output_size", None), int):
        raise ValueError(
            f"encoder {type(encoder).__name__} has no `output_size`; an encoder has `input_size`, `output_size` "
            f"and forward(PackedSequence) -> (PackedSequence, state), as seqkit.nn.LSTM has"
        )


def reads_back(encoder: nn.Module) -> bool:
    """Whether a part of it has a direction that sees later steps."""
    return any(getattr(module, "bidirectional", False) for module in encoder.modules())


def _check_encoder(encoder: nn.Module, *, causal: bool, task: str) -> None:
    check_output_size(encoder)
    if causal and reads_back(encoder):
        raise ValueError(
            f"{task} is causal, but encoder {type(encoder).__name__} is bidirectional: its backward direction "
            f"sees later steps; set bidirectional=False, or causal=False"
        )


def check_steps_kept(encoder: nn.Module, task: str) -> None:
    """Refuse an encoder that reads several steps as one, where a step's output must not depend on the next."""
    for module in encoder.modules():
        if isinstance(module, Downsample | Upsample):
            raise ValueError(
                f"{task} predicts what follows each step, but encoder {type(encoder).__name__} has "
                f"{type(module).__name__}, which changes the steps: its outputs would be of other steps, and would "
                f"have seen later ones; leave it out"
            )


def _sides(inputs: dict[str, Any]) -> list[list[str]]:
    """The columns of the main sequence, and the column of the other one of a pair if there is one."""
    own = [column for column, entry in inputs.items() if entry.get("unaligned")]
    main = [column for column in inputs if column not in own]
    if not own:
        return [main]
    one, other = (
        {key: value for key, value in inputs[columns[0]].items() if key not in ("unaligned", "column")}
        for columns in (main, own)
    )
    if len(main) != 1 or len(own) != 1 or one != other:
        raise ValueError(
            f"inputs {main} and unaligned {own} make no pair: a pair is one input and one unaligned one, encoded "
            f"alike, so that both go through one embedding; give both the same encoder"
        )
    return [main, own]
