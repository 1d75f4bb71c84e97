"""Lightning modules: what is computed from a batch, how it is scored and learned."""

from seqkit.tasks.base import Predictions, Task
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.ctc_recognizer import CTCRecognizer
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.language_model import LanguageModel
from seqkit.tasks.multitask import MultiTask
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.tagger import Tagger

__all__ = [
    "CTCRecognizer",
    "Classifier",
    "Forecaster",
    "LanguageModel",
    "MultiTask",
    "Predictions",
    "Regressor",
    "Tagger",
    "Task",
]
