"""``python -m seqkit export``: write the model of a checkpoint as an ONNX file."""

import sys
from collections.abc import Sequence
from pathlib import Path

import seqkit
from seqkit.cli.arguments import check_files
from seqkit.cli.commands.options import CommandParser
from seqkit.cli.messages import printable
from seqkit.export import Graph, build_graph, write_onnx
from seqkit.files import check_not_read


def export_command(arguments: Sequence[str]) -> Path:
    """Parse the command line, write the file, and print the inputs and outputs of the graph.

    Args:
        arguments: The arguments after ``python -m seqkit export``.

    Returns:
        The file.

    Raises:
        ValueError: An argument is missing, unknown or wrong, or the model cannot be exported.
    """
    parser = CommandParser(
        "export", "Write the model of a checkpoint as an ONNX file, which runs without torch and seqkit."
    )
    parser.add_checkpoint("the checkpoint, or a folder of save_pretrained")
    parser.add_argument("--output", type=Path, required=True, help="the file to write, such as model.onnx")
    parser.add_argument("--scores", action="store_true", help="add outputs with probabilities, NAME_scores")
    given = parser.read(arguments)
    check_files(arguments, folders=True)
    check_not_read(given.output, given.ckpt_path)
    model = seqkit.load(given.ckpt_path, map_location="cpu", trust=given.trust)
    graph = build_graph(model, scores=given.scores)
    write_onnx(graph, model, given.output)
    sys.stdout.write(printable(_summary(graph, given.output)))
    return Path(given.output)


def _summary(graph: Graph, path: Path) -> str:
    lines = [f"wrote {path} ({path.stat().st_size / 2**20:.1f} MB)"]
    for title, values in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        lines.append(f"{title}:")
        lines += [f"  {value.name} {value.dtype} ({', '.join(map(str, value.shape or ()))})" for value in values]
    return "\n".join([*lines, ""])
