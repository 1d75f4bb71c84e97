"""From rows to packed batches: sources, encoders, lengths, the sampler, collation."""

from seqkit.data.buckets import StepCost
from seqkit.data.collate import PackCollate
from seqkit.data.encoders import (
    Characters,
    Encoder,
    Features,
    Ids,
    Labels,
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
from seqkit.data.sources import CMAPSS, CoNLL, Files, Hub, PythonCode, SavedDataset, Source, TimeSeries
from seqkit.data.stream import PackedStream
from seqkit.data.stream_loader import StreamLoader

__all__ = [
    "CMAPSS",
    "Characters",
    "CoNLL",
    "Encoder",
    "Features",
    "Files",
    "Hub",
    "Ids",
    "Labels",
    "LengthBucketSampler",
    "MultiLabels",
    "PackCollate",
    "PackedStream",
    "PythonCode",
    "RaggedRows",
    "SavedDataset",
    "ShapedWords",
    "Source",
    "StepCost",
    "StreamLoader",
    "TimeSeries",
    "TokenizerFile",
    "Values",
    "WordCharacters",
    "WordShapes",
    "Words",
    "encode_dataset",
    "learn_spec",
    "lengths",
    "target_encoder",
]
