"""From the encoder's output to the graph's outputs: tags, labels, values."""

from typing import Any

import numpy as np

from seqkit.export.graph import Encoded, Graph, Steps, decoders, heads, pools, tasks
from seqkit.export.inputs import encode
from seqkit.export.nn.pooling import attention_weights
from seqkit.losses import Quantile
from seqkit.tasks import Classifier, Regressor, Tagger, Task
from seqkit.tasks.inputs import EncoderParts
from seqkit.tasks.targets import LabelTarget


@tasks.register(Tagger, Classifier, Regressor)
def encoder_task(graph: Graph, task: Task) -> None:
    """Build the graph of a task that has an encoder and one head."""
    parts = EncoderParts(task.sides, task.embeddings, task.encoder, task.dropout)
    heads.build(graph, task, encode(graph, task.spec["inputs"], parts))


def read(graph: Graph, task: Task, encoded: list[Encoded]) -> str:
    """Compute a task's raw outputs: per token (B, T, C) with the lengths of ``encoded[0].hidden``, else (B, C)."""
    if task.pooling is None:
        return graph.linear(encoded[0].hidden.values, task.head.weight, task.head.bias)
    pooled = [pools.build(graph, task.pooling, each) for each in encoded]
    features = pooled[0]
    if len(pooled) > 1:
        difference = graph.node("Abs", graph.node("Sub", *pooled))
        features = graph.node("Concat", *pooled, difference, graph.node("Mul", *pooled), axis=1)
    return graph.linear(features, task.head.weight, task.head.bias)


@heads.register(Tagger)
def tagger_head(graph: Graph, task: Tagger, encoded: list[Encoded], prefix: str = "") -> None:  # noqa: ARG001
    """Add the tags of each token, and their scores and logits."""
    logits = read(graph, task, encoded)
    about = {"scheme": task.scheme} if task.scheme is not None else {}
    if task.decoder is None:
        add_labels(graph, task.labels, task.target_column, logits, ["batch", "time"], **about)
        return
    scores = Steps(logits, encoded[0].hidden.lengths)
    tags, marginals = decoders.build(graph, task.decoder, scores)
    add_classes(graph, task.labels, task.target_column, (tags, marginals, logits), ["batch", "time"], **about)


@heads.register(Classifier)
def classifier_head(graph: Graph, task: Classifier, encoded: list[Encoded], prefix: str = "") -> None:
    """Add the label of each sequence, its scores and logits, and the weights of attention."""
    add_labels(graph, task.labels, task.target_column, read(graph, task, encoded), ["batch"])
    add_attention(graph, task, encoded, prefix)


@heads.register(Regressor)
def regressor_head(graph: Graph, task: Regressor, encoded: list[Encoded], prefix: str = "") -> None:
    """Add the values of each step or sequence in their own units, and the weights of attention."""
    about: dict[str, Any] = {"column": task.target_column, "per": task.target["per"], "holds": "values"}
    dimensions: list[int | str | None] = ["batch"] if task.pooling is not None else ["batch", "time"]
    if isinstance(task.loss, Quantile):
        about["quantiles"] = task.loss.quantiles.tolist()
    values = restored(graph, task.standardization, read(graph, task, encoded))
    size = task.output_size()
    if size == 1:
        values = graph.squeeze(values, len(dimensions))
    else:
        dimensions.append(size)
    graph.output(values, task.target_column, np.float32, dimensions, **about)
    add_attention(graph, task, encoded, prefix)


def restored(graph: Graph, standardization: Any, values: str) -> str:
    """Return standardised values (..., K) in their own units; see `seqkit.tasks.targets.Standardization`."""
    scaled = graph.node("Mul", values, standardization.std)
    return graph.node("Add", scaled, standardization.mean)


def add_labels(
    graph: Graph, labels: LabelTarget, column: str, logits: str, dimensions: list[int | str | None], **about: Any
) -> None:
    """Add the label, or the set of labels, of each unit, from logits (..., C)."""
    if not labels.multilabel:
        found = graph.node("ArgMax", logits, axis=-1, keepdims=0)
        probabilities = graph.node("Softmax", logits, axis=-1) if graph.scores else ""
        add_classes(graph, labels, column, (found, probabilities, logits), dimensions, **about)
        return
    shape = [*dimensions, labels.size]
    about |= {"column": column, "per": _unit(dimensions), "names": labels.predictable}
    graph.output(graph.node("Greater", logits, np.float32(0)), column, np.bool_, shape, holds="sets", **about)
    if graph.scores:
        scores = graph.node("Sigmoid", logits)
        graph.output(scores, f"{column}_scores", np.float32, shape, holds="scores", **about)
    graph.output(logits, f"{column}_logits", np.float32, shape, holds="logits", **about)


def add_classes(
    graph: Graph,
    labels: LabelTarget,
    column: str,
    values: tuple[str, str, str],
    dimensions: list[int | str | None],
    **about: Any,
) -> None:
    """Add one label of each unit.

    Args:
        graph: The graph.
        labels: The labels.
        column: The target's column.
        values: The labels' ids (...), int64; the probability of each label (..., C), which is not read if scores
            are not wanted; the logits (..., C).
        dimensions: The dimensions of the ids.
        about: More about the labels, for the metadata.
    """
    found, probabilities, logits = values
    shape = [*dimensions, labels.size]
    about |= {"column": column, "per": _unit(dimensions), "names": labels.predictable}
    graph.output(found, column, np.int64, dimensions, holds="labels", **about)
    if graph.scores and len(dimensions) == 1:
        graph.output(probabilities, f"{column}_scores", np.float32, shape, holds="scores", **about)
    elif graph.scores:  # of the label that was found
        chosen = graph.node("GatherElements", probabilities, graph.unsqueeze(found, 2), axis=2)
        scores = graph.squeeze(chosen, 2)
        graph.output(scores, f"{column}_scores", np.float32, dimensions, holds="scores", **about)
    graph.output(logits, f"{column}_logits", np.float32, shape, holds="logits", **about)


def add_attention(graph: Graph, task: Task, encoded: list[Encoded], prefix: str) -> None:
    """Add the weight of each step in pooling, if predictions have it, as ``INPUT_attention``."""
    if not task.attention:
        return
    for number, ((column, *_), (hidden, *_)) in enumerate(zip(task.sides, encoded, strict=True)):
        weights = attention_weights(graph, task.pooling, hidden)  # type: ignore[arg-type]
        time = f"{column}_time" if number else "time"
        name = f"{prefix}{column}_attention"
        about = {"column": column, "per": "token", "holds": "attention"}
        graph.output(weights, name, np.float32, ["batch", time], **about)


def _unit(dimensions: list[int | str | None]) -> str:
    return "sequence" if len(dimensions) == 1 else "token"
