"""seqkit: train recurrent models on sequences of different lengths, packed from the dataset to the loss."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqkit.batch import Batch
    from seqkit.data import LengthBucketSampler, PackCollate
    from seqkit.data.lightning import SequenceDataModule
    from seqkit.tasks import (
        Classifier,
        CTCRecognizer,
        Forecaster,
        LanguageModel,
        MultiTask,
        Regressor,
        Tagger,
        Task,
        load,
    )

__version__ = "0.1.0"

__all__ = [
    "Batch",
    "CTCRecognizer",
    "Classifier",
    "Forecaster",
    "LanguageModel",
    "LengthBucketSampler",
    "MultiTask",
    "PackCollate",
    "Regressor",
    "SequenceDataModule",
    "Tagger",
    "Task",
    "load",
]

_PACKAGES = {
    "seqkit.batch": ["Batch"],
    "seqkit.data": ["LengthBucketSampler", "PackCollate"],
    "seqkit.data.lightning": ["SequenceDataModule"],
    "seqkit.tasks": [
        "CTCRecognizer",
        "Classifier",
        "Forecaster",
        "LanguageModel",
        "MultiTask",
        "Regressor",
        "Tagger",
        "Task",
        "load",
    ],
}


def __getattr__(name: str) -> Any:
    # On demand: seqkit.nn, seqkit.packed and seqkit.data work where Lightning is not installed.
    for package, names in _PACKAGES.items():
        if name in names:
            return getattr(import_module(package), name)
    raise AttributeError(f"module 'seqkit' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
