"""From rows to packed batches: sources, encoders, lengths, the sampler, collation."""

from seqkit.data.buckets import StepCost
from seqkit.data.collate import PackCollate
from seqkit.data.continuous import Continuous, PieceSampler, TextStreams
from seqkit.data.encoders import (
    Characters,
    Encoder,
    Features,
    Ids,
    Labels,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    TokenizerFile,
    Values,
    WordCharacters,
    Words,
    WordShapes,
    encode_dataset,
    learn_spec,
    target_encoder,
)
from seqkit.data.lengths import lengths
from seqkit.data.ragged import RaggedRows
from seqkit.data.sampler import LengthBucketSampler
from seqkit.data.sources import (
    CMAPSS,
    CMUdict,
    CoNLL,
    Files,
    Hub,
    PythonCode,
    SavedDataset,
    Source,
    Text,
    TimeSeries,
)
from seqkit.data.stream import PackedStream
from seqkit.data.stream_loader import StreamLoader
from seqkit.data.vectors import Vectors, read_vectors

__all__ = [
    "CMAPSS",
    "CMUdict",
    "Characters",
    "CoNLL",
    "Continuous",
    "Encoder",
    "Features",
    "Files",
    "Hub",
    "Ids",
    "LabelSequences",
    "Labels",
    "LengthBucketSampler",
    "MultiLabels",
    "PackCollate",
    "PackedStream",
    "PieceSampler",
    "PythonCode",
    "RaggedRows",
    "SavedDataset",
    "ShapedWords",
    "Source",
    "StepCost",
    "StreamLoader",
    "Text",
    "TextStreams",
    "TimeSeries",
    "TokenizerFile",
    "Values",
    "Vectors",
    "WordCharacters",
    "WordShapes",
    "Words",
    "encode_dataset",
    "learn_spec",
    "lengths",
    "read_vectors",
    "target_encoder",
]
