"""The labels of a CTC recogniser: the best path, in the graph."""

import numpy as np

from seqkit.export.graph import Encoded, Graph, heads, tasks
from seqkit.export.heads import encoder_task, read
from seqkit.tasks import CTCRecognizer

tasks.register(CTCRecognizer)(encoder_task)


@heads.register(CTCRecognizer)
def ctc_recognizer_head(graph: Graph, task: CTCRecognizer, encoded: list[Encoded], prefix: str = "") -> None:  # noqa: ARG001
    """Add the label that each step emits, (B, S), and for scores its probability; -1 where it emits none.

    S is the number of steps after the encoder, which may change it. A row's label sequence is what is not -1.

    Raises:
        ValueError: The task decodes with a beam.
    """
    if task.beam_width > 1:
        raise ValueError(
            f"to_onnx: CTCRecognizer has beam_width={task.beam_width}, but the graph takes the most probable label "
            f"of each step; set model.beam_width = 1 first"
        )
    steps = encoded[0].hidden._replace(values=read(graph, task, encoded))  # (B, S, C)
    best = graph.node("ArgMax", steps.values, axis=2, keepdims=1)  # (B, S, 1)
    shifted = graph.node("Slice", best, *(np.array([number], dtype=np.int64) for number in (0, -1, 1)))
    before = graph.node("Pad", shifted, np.array([0, 1, 0, 0, 0, 0], dtype=np.int64), np.int64(-1))
    is_label = graph.node("Less", best, np.int64(len(task.names)))  # the last class is the blank
    is_new = graph.node("Not", graph.node("Equal", best, before))
    emits = graph.node("And", graph.node("And", is_label, is_new), graph.unsqueeze(graph.mask(steps), 2))
    column = task.target_column
    about = {"column": column, "per": "unaligned", "names": task.names}
    labels = graph.squeeze(graph.node("Where", emits, best, np.int64(-1)), 2)
    graph.output(labels, column, np.int64, ["batch", "steps"], holds="labels", **about)
    if graph.scores:
        probabilities = graph.node("GatherElements", graph.node("Softmax", steps.values, axis=2), best, axis=2)
        scores = graph.squeeze(graph.node("Where", emits, probabilities, np.float32(-1)), 2)
        graph.output(scores, f"{column}_scores", np.float32, ["batch", "steps"], holds="scores", **about)
