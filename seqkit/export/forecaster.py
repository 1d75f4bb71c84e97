"""The next steps of a series, after its last one."""

import numpy as np

from seqkit.export.graph import Encoded, Graph, heads, tasks
from seqkit.export.heads import encoder_task, read, restored
from seqkit.tasks import Forecaster

tasks.register(Forecaster)(encoder_task)


@heads.register(Forecaster)
def forecaster_head(graph: Graph, task: Forecaster, encoded: list[Encoded], prefix: str = "") -> None:  # noqa: ARG001
    """Add the steps that follow each series in their own units: (B, horizon), or (B, horizon, D) of D channels."""
    last = graph.node("Sub", graph.unsqueeze(encoded[0].hidden.lengths, 1), np.int64(1))  # (B, 1)
    values = graph.node("GatherND", read(graph, task, encoded), last, batch_dims=1)  # (B, horizon × D)
    channels = int(task.target["size"])
    ahead = restored(graph, task.standardization, graph.reshape(values, 0, task.horizon, channels))
    dimensions: list[int | str | None] = ["batch", task.horizon, channels]
    if channels == 1:
        ahead, dimensions = graph.squeeze(ahead, 2), dimensions[:2]
    about = {"column": task.target_column, "per": "sequence", "holds": "values"}
    graph.output(ahead, task.target_column, np.float32, dimensions, **about)
