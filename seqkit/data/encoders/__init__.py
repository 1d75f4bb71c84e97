"""Encoders: each turns a dataset's column into the numbers that a model reads or predicts."""

from seqkit.data.encoders.base import IGNORE_INDEX, Encoder
from seqkit.data.encoders.characters import Characters, WordCharacters
from seqkit.data.encoders.columns import flatten, iter_column, locate
from seqkit.data.encoders.encode import TableEncoder, encode_dataset, encode_table, encoder_key
from seqkit.data.encoders.label_sequences import LabelSequences
from seqkit.data.encoders.labels import UNSEEN, LabelEncoder, Labels, MultiLabels, label_name
from seqkit.data.encoders.numbers import Features, Values
from seqkit.data.encoders.shapes import ShapedWords, WordShapes
from seqkit.data.encoders.spec import (
    Spec,
    build_encoder,
    input_depth,
    input_encoder,
    is_vector,
    learn_spec,
    source_columns,
    target_encoder,
    vocabulary,
)
from seqkit.data.encoders.spec_checks import check_spec, encoder_classes
from seqkit.data.encoders.tokenizer import TokenizerFile
from seqkit.data.encoders.words import Ids, Words
from seqkit.data.rows.checks import RowError

__all__ = [
    "IGNORE_INDEX",
    "UNSEEN",
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
    "TableEncoder",
    "TokenizerFile",
    "Values",
    "WordCharacters",
    "WordShapes",
    "Words",
    "build_encoder",
    "check_spec",
    "encode_dataset",
    "encode_table",
    "encoder_classes",
    "encoder_key",
    "flatten",
    "input_depth",
    "input_encoder",
    "is_vector",
    "iter_column",
    "label_name",
    "learn_spec",
    "locate",
    "source_columns",
    "target_encoder",
    "vocabulary",
]
