"""Write a model as an ONNX file."""

from pathlib import Path

from seqkit.tasks import SequenceModule


def to_onnx(model: SequenceModule, path: str | Path) -> None:
    """Write a model as an ONNX file."""
    raise NotImplementedError
