"""seqkit: recurrent nets on sequences of different lengths, packed from the dataset to the loss."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqkit.batch import Batch
    from seqkit.data.batching.sampler import LengthBucketSampler
    from seqkit.data.lightning.datamodule import SequenceDataModule
    from seqkit.data.rows.collate import PackCollate
    from seqkit.tasks import (
        Classifier,
        CTCRecognizer,
        Forecaster,
        LanguageModel,
        MultiTask,
        Regressor,
        Tagger,
        Task,
    )

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
]

_HOMES = {
    "Batch": "seqkit.batch",
    "CTCRecognizer": "seqkit.tasks",
    "Classifier": "seqkit.tasks",
    "Forecaster": "seqkit.tasks",
    "LanguageModel": "seqkit.tasks",
    "LengthBucketSampler": "seqkit.data",
    "MultiTask": "seqkit.tasks",
    "PackCollate": "seqkit.data",
    "Regressor": "seqkit.tasks",
    "SequenceDataModule": "seqkit.data.lightning",
    "Tagger": "seqkit.tasks",
    "Task": "seqkit.tasks",
}


def __getattr__(name: str) -> Any:
    # On demand, so that seqkit.nn, seqkit.packed and seqkit.data in a loop of one's own do not import Lightning.
    if name not in _HOMES:
        raise AttributeError(f"module 'seqkit' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
