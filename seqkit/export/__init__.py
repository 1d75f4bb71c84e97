"""ONNX files of trained models: `to_onnx`."""

from seqkit.export.graph import Encoded, Graph, Registry, Steps
from seqkit.export.onnx_model import to_onnx

__all__ = ["Encoded", "Graph", "Registry", "Steps", "to_onnx"]
