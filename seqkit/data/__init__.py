"""From rows to packed batches: sources, encoders, lengths, the sampler, collation."""

from seqkit.data.batching.plan import StepCost
from seqkit.data.batching.sampler import LengthBucketSampler
from seqkit.data.continuous import BPTTSampler, Continuous, ContinuousText
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
from seqkit.data.rows.checks import RowError
from seqkit.data.rows.collate import PackCollate
from seqkit.data.rows.lengths import lengths
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.sources import (
    CMAPSS,
    CMUdict,
    CoNLL,
    Files,
    Frames,
    Hub,
    PythonCode,
    SavedDataset,
    Source,
    Text,
    TimeSeries,
    as_dataset,
)
from seqkit.data.streaming.loader import StreamLoader
from seqkit.data.streaming.stream import PackedStream
from seqkit.data.word_vectors import Vectors, read_vectors

__all__ = [
    "CMAPSS",
    "BPTTSampler",
    "CMUdict",
    "Characters",
    "CoNLL",
    "Continuous",
    "ContinuousText",
    "Encoder",
    "Features",
    "Files",
    "Frames",
    "Hub",
    "Ids",
    "LabelSequences",
    "Labels",
    "LengthBucketSampler",
    "MultiLabels",
    "PackCollate",
    "PackedStream",
    "PythonCode",
    "RaggedRows",
    "RowError",
    "SavedDataset",
    "ShapedWords",
    "Source",
    "StepCost",
    "StreamLoader",
    "Text",
    "TimeSeries",
    "TokenizerFile",
    "Values",
    "Vectors",
    "WordCharacters",
    "WordShapes",
    "Words",
    "as_dataset",
    "encode_dataset",
    "learn_spec",
    "lengths",
    "read_vectors",
    "target_encoder",
]
