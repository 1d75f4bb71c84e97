"""Encoders: each turns a dataset's column into the numbers that a model reads or predicts."""

from seqkit.data.encoders.base import IGNORE_INDEX, Encoder
from seqkit.data.encoders.characters import Characters, WordCharacters
from seqkit.data.encoders.encode import encode_dataset, encode_table, encoder_key
from seqkit.data.encoders.label_sequences import LabelSequences
from seqkit.data.encoders.labels import LabelEncoder, Labels, MultiLabels
from seqkit.data.encoders.numbers import Features, Values
from seqkit.data.encoders.shapes import ShapedWords, WordShapes
from seqkit.data.encoders.spec import (
    Spec,
    build_encoder,
    input_encoder,
    is_vector,
    learn_spec,
    source_columns,
    target_encoder,
    vocabulary,
)
from seqkit.data.encoders.spec_checks import check_spec, encoder_classes
from seqkit.data.encoders.tokenizer import TokenizerFile
from seqkit.data.encoders.unseen import UnseenLabel, add_unseen, find_unseen, unseen_of_streams
from seqkit.data.encoders.words import Ids, Words
from seqkit.data.rows.checks import RowError

__all__ = [
    "IGNORE_INDEX",
    "Characters",
    "Encoder",
    "Features",
    "Ids",
    "LabelEncoder",
    "LabelSequences",
    "Labels",
    "MultiLabels",
    "RowError",
    "ShapedWords",
    "Spec",
    "TokenizerFile",
    "UnseenLabel",
    "Values",
    "WordCharacters",
    "WordShapes",
    "Words",
    "add_unseen",
    "build_encoder",
    "check_spec",
    "encode_dataset",
    "encode_table",
    "encoder_classes",
    "encoder_key",
    "find_unseen",
    "input_encoder",
    "is_vector",
    "learn_spec",
    "source_columns",
    "target_encoder",
    "unseen_of_streams",
    "vocabulary",
]
