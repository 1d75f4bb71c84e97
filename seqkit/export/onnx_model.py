"""Write a model as an ONNX file."""

import json
from pathlib import Path
from typing import Any

import numpy as np

import seqkit
from seqkit.class_paths import public_path
from seqkit.export.graph import Graph, Node, Value, tasks
from seqkit.files import atomic_write
from seqkit.tasks import SequenceModule, Task

OPSET = 17
"""The version of the operators of ONNX."""

IR_VERSION = 8  # the file format that belongs to this opset
_LARGEST = 2**31 - 1  # bytes, of a protobuf message


def to_onnx(model: SequenceModule, path: str | Path, *, scores: bool = False) -> None:
    """Write a trained model as an ONNX file, which runs without torch and seqkit.

    The graph reads a padded batch (B, T) of ids or values with the lengths (B,) of its rows, and gives each row
    what the model gives it alone. Dropout and all else that acts in training only is left out. The metadata
    ``seqkit`` of the file is a JSON object: the version of seqkit, the task, the spec (so the vocabularies and what
    standardises values), and what each input and output holds, with the names of the labels.

    Args:
        model: A task.
        path: The file. It is complete or not written at all.
        scores: Whether the graph has outputs with probabilities, too, as ``NAME_scores``. Those of a CRF take as
            long again as its tags.

    Raises:
        ValueError: A part or an option of the model has no ONNX graph; the message names it.
        ImportError: onnx is not installed.
    """
    write_onnx(build_graph(model, scores=scores), model, path)


def build_graph(model: SequenceModule, *, scores: bool = False) -> Graph:
    """Build a model's graph; see :func:`to_onnx`."""
    targets = [column for column, head in model.heads.items() if isinstance(head, Task)]
    graph = Graph(outputs=targets, scores=scores)
    tasks.build(graph, model)
    return graph


def metadata(model: SequenceModule, graph: Graph) -> dict[str, Any]:
    """Return what the file says about a model and its inputs and outputs, as plain types."""
    return {
        "seqkit": seqkit.__version__,
        "task": public_path(type(model)),
        "spec": model.spec,
        "inputs": {value.name: value.about for value in graph.inputs},
        "outputs": {value.name: value.about for value in graph.outputs},
    }


def write_onnx(graph: Graph, model: SequenceModule, path: str | Path) -> None:
    """Write a model's graph; see :func:`to_onnx`."""
    proto = to_proto(graph, metadata(model, graph))
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(proto.SerializeToString())


def to_proto(graph: Graph, about: dict[str, Any]) -> Any:
    """Return a graph as an ``onnx.ModelProto`` that ``onnx.checker`` has passed.

    Args:
        graph: The graph.
        about: The metadata, as plain types.

    Raises:
        ValueError: The weights are too large for a file.
        ImportError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "ONNX files are written with onnx, which is not installed: pip install 'seqkit-packed[onnx]'"
        ) from error
    size = sum(array.nbytes for array in graph.constants.values())
    if size > _LARGEST:
        raise ValueError(f"to_onnx: the weights take {size:,} bytes, but an ONNX file holds at most {_LARGEST:,}")
    proto = onnx.helper.make_model(
        _graph_proto(graph, "seqkit"),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="seqkit",
        producer_version=seqkit.__version__,
    )
    onnx.helper.set_model_props(proto, {"seqkit": json.dumps(about, ensure_ascii=False)})
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _graph_proto(graph: Graph, name: str) -> Any:
    from onnx import helper, numpy_helper

    return helper.make_graph(
        [_node_proto(node) for node in graph.nodes],
        name,
        [_value_proto(value) for value in graph.inputs],
        [_value_proto(value) for value in graph.outputs],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )


def _node_proto(node: Node) -> Any:
    from onnx import helper

    attributes = {name: _attribute(node.outputs[0], value) for name, value in node.attributes.items()}
    return helper.make_node(node.operator, node.inputs, node.outputs, **attributes)


def _attribute(owner: str, value: Any) -> Any:
    from onnx import helper

    if isinstance(value, Graph):
        return _graph_proto(value, f"{owner}/body")
    return int(helper.np_dtype_to_tensor_dtype(value)) if isinstance(value, np.dtype) else value


def _value_proto(value: Value) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
