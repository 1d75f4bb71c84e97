"""A language model: the likelihood of tokens and of the next one, from a state to a state."""

import numpy as np
from torch import nn

from seqkit.export.graph import Encoded, Graph, Steps, layers, tasks
from seqkit.export.nn.softmax import softmaxes
from seqkit.nn import GRU, LSTM, RNN
from seqkit.tasks import LanguageModel


@tasks.register(LanguageModel)
def language_model(graph: Graph, task: LanguageModel) -> None:
    """Add a graph that reads parts of rows and continues from the states before them.

    Inputs: the ``ids`` to read (B, T), with the boundary (the last id) before a row's first token; their
    ``lengths`` (B,); ``targets`` (B, T), the ids that follow them; the states before them, ``h`` and, of an LSTM,
    ``c``: zeros where a row begins. Outputs: ``nll`` (B, T) of the targets; ``log_probs`` (B, C) of the token that
    follows the last one; the states after it, ``h_after`` and ``c_after``. So a row is scored at once, and a step
    of generation has T = 1.

    A model in two directions has the further inputs ``backward_ids`` and ``backward_targets``, of the reversed
    rows, and the output ``backward_nll``. Encoders other than LSTM, GRU and RNN have no states: they read
    whole rows.
    """
    column, shape = task.column, ["batch", "time"]
    ids = graph.input("ids", np.int64, shape, column=column, holds="ids")
    lengths = graph.input("lengths", np.int64, ["batch"], column=column, holds="lengths")
    targets = graph.input("targets", np.int64, shape, column=column, holds="targets")
    sizes = _state_sizes(task.encoder)
    before = tuple(
        graph.input(name, np.float32, [count, "batch", size], column=column, holds="state")
        for name, (count, size) in sizes.items()
    )
    log_probs, after = _read(graph, task, task.encoder, Steps(ids, lengths), before)
    graph.output(_nll(graph, log_probs, targets), "nll", np.float32, shape, column=column, per="token", holds="nll")
    last = graph.node("Sub", graph.unsqueeze(lengths, 1), np.int64(1))  # (B, 1)
    following = graph.node("GatherND", log_probs, last, batch_dims=1)  # (B, C)
    classes: list[int | str | None] = ["batch", task.softmax.num_classes]
    graph.output(following, "log_probs", np.float32, classes, column=column, per="sequence", holds="log_probs")
    for (name, (count, size)), state in zip(sizes.items(), after, strict=True):
        about = {"column": column, "per": "sequence", "holds": "state"}
        graph.output(state, f"{name}_after", np.float32, [count, "batch", size], **about)
    if task.backward_encoder is not None:
        ids = graph.input("backward_ids", np.int64, shape, column=column, holds="backward_ids")
        targets = graph.input("backward_targets", np.int64, shape, column=column, holds="backward_targets")
        log_probs, _ = _read(graph, task, task.backward_encoder, Steps(ids, lengths), ())
        about = {"column": column, "per": "token", "holds": "backward_nll"}
        graph.output(_nll(graph, log_probs, targets), "backward_nll", np.float32, shape, **about)


def _state_sizes(encoder: nn.Module) -> dict[str, tuple[int, int]]:
    """Return the number of layers and the size of each tensor of an encoder's state, by name."""
    if type(encoder) not in (LSTM, GRU, RNN):
        return {}
    assert isinstance(encoder, nn.RNNBase)
    sizes = {"h": (encoder.num_layers, encoder.proj_size or encoder.hidden_size)}
    return sizes | ({"c": (encoder.num_layers, encoder.hidden_size)} if encoder.mode == "LSTM" else {})


def _read(
    graph: Graph, task: LanguageModel, encoder: nn.Module, ids: Steps, state: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """Return the log-probabilities (B, T, C) of what follows each id, and the state after, if one is before."""
    embedded: Encoded = layers.build(graph, task.embeddings[0], ids)
    encoded: Encoded = layers.build(graph, encoder, embedded.hidden, state)
    log_probs: str = softmaxes.build(graph, task.softmax, encoded.hidden.values)
    return log_probs, encoded.state if state else ()


def _nll(graph: Graph, log_probs: str, targets: str) -> str:
    """Return the negative log-likelihood of the targets, (B, T)."""
    chosen = graph.node("GatherElements", log_probs, graph.unsqueeze(targets, 2), axis=2)
    return graph.node("Neg", graph.squeeze(chosen, 2))
