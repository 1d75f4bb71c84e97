"""ONNX files of trained models: `to_onnx`; see `seqkit.export.graph` for parts of your own."""

from seqkit.export import (  # noqa: F401 - they register their functions
    ctc_recognizer,
    forecaster,
    heads,
    language_model,
    multitask,
    nn,
)
from seqkit.export.graph import Encoded, Graph, Registry, Steps
from seqkit.export.onnx_model import OPSET, build_graph, to_onnx, to_proto, write_onnx

__all__ = ["OPSET", "Encoded", "Graph", "Registry", "Steps", "build_graph", "to_onnx", "to_proto", "write_onnx"]
