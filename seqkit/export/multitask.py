"""Several targets with one encoder."""

from seqkit.export.graph import Graph, heads, tasks
from seqkit.export.inputs import encode
from seqkit.tasks import MultiTask
from seqkit.tasks.inputs import EncoderParts


@tasks.register(MultiTask)
def multitask(graph: Graph, task: MultiTask) -> None:
    """Add the inputs, the shared encoder and each target's head; see :mod:`seqkit.export.graph`."""
    parts = EncoderParts(task.sides, task.embeddings, task.encoder, task.dropout)
    encoded = encode(graph, task.spec["inputs"], parts)
    for column, head in task.heads.items():
        heads.build(graph, head, encoded, prefix=f"{column}_")
