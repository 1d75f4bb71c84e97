"""From inputs to the encoder's output: the embeddings, the encoder and their checks."""

import inspect
from typing import Any, NamedTuple, Required, TypedDict, cast

from torch import nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from seqkit.data.encoders import input_encoder
from seqkit.nn import Downsample, Dropout, Embedding, Upsample
from seqkit.nn.pooling import State
from seqkit.tasks.module import OptimizerOptions, Part


class InputOptions(TypedDict, total=False):
    """The keyword arguments that tasks pass on to :func:`build_encoder`."""

    encoder: Required[Part]
    embedding: Part | None
    embeddings: dict[str, Part] | None
    dropout: float


class TaskOptions(InputOptions, OptimizerOptions, total=False):
    """The keyword arguments that all tasks with an encoder pass on to :class:`seqkit.Task`."""


class Encoded(NamedTuple):
    """A sequence after the encoder.

    Attributes:
        hidden: The output, data (N, H).
        state: The final state.
    """

    hidden: PackedSequence
    state: State


class EncoderParts(NamedTuple):
    """The modules between the inputs and the encoder's output.

    Attributes:
        sides: The input columns of the main sequence and, for a pair, the column of the other sequence.
        embeddings: One module for each column of the main sequence, by position: a column may have any name.
        encoder: The encoder.
        dropout: Drops features of the encoder's input.
    """

    sides: list[list[str]]
    embeddings: nn.ModuleList
    encoder: nn.Module
    dropout: Dropout

    def encode(self, inputs: dict[str, PackedSequence]) -> list[Encoded]:
        """Embed and encode the sequence of each row, or both sequences of a pair.

        Args:
            inputs: By column, packed, data (N, ...).

        Raises:
            KeyError: An input column is missing.
        """
        return [Encoded(*self.encoder(self.embed(inputs, columns))) for columns in self.sides]

    def embed(self, inputs: dict[str, PackedSequence], columns: list[str]) -> PackedSequence:
        """Embed the columns of one side: the input of the encoder, data (N, D)."""
        features: list[PackedSequence] = []
        for column, embedding in zip(columns, self.embeddings, strict=True):
            if column not in inputs:
                raise KeyError(f"the batch lacks the input {column!r}; it has {list(inputs)}")
            found = embedding(inputs[column])
            # A nested input gives one vector for each token, in the order of the main input's data.
            features.append(found if isinstance(found, PackedSequence) else features[0]._replace(data=found))
        embedded = features[0] if len(features) == 1 else packed.cat(features)
        return cast(PackedSequence, self.dropout(embedded))


def build_encoder(
    inputs: dict[str, Any],
    *,
    task: str,
    encoder: Part,
    embedding: Part | None = None,
    embeddings: dict[str, Part] | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    aligned: bool,
) -> EncoderParts:
    """Build the embeddings of all inputs, and the encoder for their concatenation.

    An input with lengths of its own (``unaligned`` in the data module) makes a pair: both sequences go through the
    same embedding and encoder. It must be the only other input, and its entry must equal the main input's.

    Args:
        inputs: The spec's inputs, by column.
        task: The task's name, for messages.
        encoder: The encoder, without its ``input_size``. The built module has an ``output_size`` and maps a
            PackedSequence to a PackedSequence and its final state, as :class:`seqkit.nn.LSTM` does.
        embedding: The embedding of every input of ids or of sets of labels, without its number of ids. A set's is
            the sum of the embeddings of its labels.
        embeddings: By column: the embedding of an input that needs its own, without its number of ids or, for
            features, their width. Features and sets of labels without one enter the encoder as they are (sets as
            multi-hot vectors). An input that holds a sequence of ids for each token, such as its characters, needs
            one that gives one vector for each token, such as :class:`seqkit.nn.CharacterLSTM`. The results are
            concatenated.
        dropout: Probability of dropping a feature of the encoder's input; `Task` also applies it to the output.
        causal: Whether the output at a step may depend on nothing later; see :func:`check_causal`.
        aligned: Whether the outputs belong to the steps of the input.

    Raises:
        ValueError: An input of ids has no embedding; an embedding is for a column that is no input; the encoder has
            no ``output_size``; a part reads later steps in a causal task; an unaligned input makes no pair.
    """
    sides = _sides(inputs)
    parts = embeddings or {}
    if unknown := set(parts) - set(sides[0]):
        raise ValueError(f"embeddings for {sorted(unknown)}, but the inputs are {sides[0]}")
    modules = nn.ModuleList()
    input_size = 0
    for column in sides[0]:
        entry = inputs[column]
        part = parts.get(column, embedding if entry["kind"] in ("ids", "multilabel") else None)
        if part is not None:
            modules.append(part(entry["size"]))
            set_unknown_id(modules[-1], inputs, column)
            input_size += cast(int, modules[-1].output_size)
        elif entry["kind"] in ("features", "multilabel"):
            modules.append(nn.Identity())
            input_size += entry["size"]
        elif entry["kind"] == "nested":
            raise ValueError(
                f"input {column!r} holds a sequence of ids for each token, but `embeddings` has nothing for it; "
                f"give, for example, seqkit.nn.CharacterLSTM with embedding_dim=32 and hidden_size=64"
            )
        else:
            raise ValueError(
                f"input {column!r} holds ids, but no embedding is given; give `embedding`, for example "
                f"seqkit.nn.Embedding with embedding_dim=64"
            )
    built = encoder(input_size)
    check_output_size(built)
    if causal:
        check_causal(f"encoder {type(built).__name__}", built, task, aligned=aligned)
        for column, module in zip(sides[0], modules, strict=True):
            if inputs[column]["kind"] != "nested":  # its sequences are within one step
                check_causal(f"the embedding of input {column!r}", module, task, aligned=aligned)
    return EncoderParts(sides, modules, built, Dropout(dropout))


def set_unknown_id(embedding: nn.Module, inputs: dict[str, Any], column: str) -> None:
    """Let the word dropout of an input's embedding replace tokens by the encoder's unknown one.

    Raises:
        ValueError: The encoder has none.
    """
    for module in embedding.modules():
        if isinstance(module, Embedding) and module.word_dropout and module.unknown_id is None:
            encoder = input_encoder({"inputs": inputs}, column)
            module.unknown_id = encoder.unknown_id
            if module.unknown_id is None:
                raise ValueError(
                    f"the embedding of input {column!r} has word_dropout={module.word_dropout}, but "
                    f"{type(encoder).__name__} has no unknown token to replace others by; set word_dropout=0, or "
                    f"give the embedding an unknown_id that no token has"
                )


def check_output_size(encoder: nn.Module) -> None:
    """Check that a module says its ``output_size``, as an encoder does.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(getattr(encoder, "output_size", None), int):
        raise ValueError(
            f"encoder {type(encoder).__name__} has no `output_size`; an encoder has `input_size`, `output_size` "
            f"and forward(PackedSequence) -> (PackedSequence, state), as seqkit.nn.LSTM has"
        )


def is_bidirectional(encoder: nn.Module) -> bool:
    """Whether any part of an encoder has a direction that sees later steps."""
    return any(getattr(module, "bidirectional", False) for module in encoder.modules())


def takes_state(encoder: nn.Module) -> bool:
    """Whether an encoder's forward has a second argument, the state from which it continues."""
    return len(inspect.signature(encoder.forward).parameters) > 1


def check_causal(name: str, part: nn.Module, task: str, *, aligned: bool) -> None:
    """Check that a part of a causal task reads no later steps: has no second direction and keeps the steps.

    Outputs that belong to no step of the input may be of other steps: each then stands at the last step that it is
    made of.

    Raises:
        ValueError: It does read later steps.
    """
    if is_bidirectional(part):
        raise ValueError(
            f"{task} is causal, but {name} is bidirectional: its backward direction sees later steps; set "
            f"bidirectional=False, or causal=False"
        )
    resampling = [type(module).__name__ for module in part.modules() if isinstance(module, Downsample | Upsample)]
    if aligned and resampling:
        raise ValueError(
            f"{task} is causal, but {name} has {resampling[0]}, which changes the steps: an output would have seen "
            f"later steps; leave it out, or set causal=False"
        )


def check_steps_kept(encoder: nn.Module, task: str) -> None:
    """Check that an encoder gives one output for each step, as predicting the next step requires.

    Raises:
        ValueError: A part of it changes the number of steps.
    """
    for module in encoder.modules():
        if isinstance(module, Downsample | Upsample):
            raise ValueError(
                f"{task} predicts what follows each step, but encoder {type(encoder).__name__} has "
                f"{type(module).__name__}, which changes the steps: its outputs would be of other steps, and would "
                f"have seen later ones; leave it out"
            )


def _sides(inputs: dict[str, Any]) -> list[list[str]]:
    """The columns of the main sequence and, for a pair, the column of the other one."""
    unaligned = [column for column, entry in inputs.items() if entry.get("unaligned")]
    main = [column for column in inputs if column not in unaligned]
    if not unaligned:
        return [main]
    one, other = (
        {key: value for key, value in inputs[columns[0]].items() if key not in ("unaligned", "column", "depth")}
        for columns in (main, unaligned)
    )
    if len(main) != 1 or len(unaligned) != 1 or one != other:
        raise ValueError(
            f"inputs {main} and unaligned {unaligned} make no pair: a pair is one input and one unaligned one, "
            f"encoded alike, so that both go through one embedding; give both the same encoder"
        )
    return [main, unaligned]
