"""Tasks as Lightning modules: the model, its loss, metrics, predictions and report."""

from seqkit.tasks.classifier import Classifier
from seqkit.tasks.ctc_recognizer import CTCRecognizer
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.language_model import LanguageModel, LanguageStream
from seqkit.tasks.module import SequenceModule
from seqkit.tasks.multitask import MultiTask
from seqkit.tasks.outputs import Predictions, RowReport, TaskOutput
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.sharing.load import load
from seqkit.tasks.stream import Stream, TaskStream
from seqkit.tasks.tagger import Tagger
from seqkit.tasks.task import Task

__all__ = [
    "CTCRecognizer",
    "Classifier",
    "Forecaster",
    "LanguageModel",
    "LanguageStream",
    "MultiTask",
    "Predictions",
    "Regressor",
    "RowReport",
    "SequenceModule",
    "Stream",
    "Tagger",
    "Task",
    "TaskOutput",
    "TaskStream",
    "load",
]
