"""Sources of rows: each class reads one kind of file or hub into a `DatasetDict`."""

from seqkit.data.sources.base import SPLITS, Source, to_streams
from seqkit.data.sources.cmapss import CMAPSS
from seqkit.data.sources.cmudict import CMUdict
from seqkit.data.sources.conll import CoNLL
from seqkit.data.sources.files import Files, SavedDataset
from seqkit.data.sources.hub import Hub
from seqkit.data.sources.in_memory import as_dataset, as_split, is_frame
from seqkit.data.sources.long_form.frames import Frames
from seqkit.data.sources.python_code import PythonCode
from seqkit.data.sources.text import Text
from seqkit.data.sources.time_series import TimeSeries

__all__ = [
    "CMAPSS",
    "SPLITS",
    "CMUdict",
    "CoNLL",
    "Files",
    "Frames",
    "Hub",
    "PythonCode",
    "SavedDataset",
    "Source",
    "Text",
    "TimeSeries",
    "as_dataset",
    "as_split",
    "is_frame",
    "to_streams",
]
