"""What tests of exported models share: ONNX Runtime beside the model, each row alone."""

import json

import datasets
import numpy as np
import onnxruntime
import torch

from seqkit import SequenceDataModule, packed
from seqkit.data.encoders import input_encoder
from seqkit.export import Steps, to_onnx, to_proto
from seqkit.export.graph import Graph

TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
RANKS = {"pooled": 2, "weights": 2, "vectors": 2, "mask": 2, "lengths_after": 1}  # of outputs; others have 3


def session_of(source):
    """Load a file or a serialised model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def about(session):
    """Return the metadata."""
    return json.loads(session.get_modelmeta().custom_metadata_map["seqkit"])


def export(model, path, **options):
    """Write a model and load the file."""
    to_onnx(model, path, **options)
    return session_of(path)


def run(session, feeds):
    """Return the outputs by name."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def padded(rows, dtype):
    """Stack rows (L, ...) to (B, T, ...), behind their ends 0."""
    rows = [np.asarray(row, dtype=dtype) for row in rows]
    found = np.zeros((len(rows), max(map(len, rows)), *rows[0].shape[1:]), dtype=dtype)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = row
    return found


def feeds_of(session, rows, *, unique=True):
    """Return a padded batch of raw rows.

    Args:
        session: The session.
        rows: By column of the dataset, one raw value per row.
        unique: Whether equal words are given once, where a graph reads the characters of words.
    """
    metadata, feeds = about(session), {}
    for name, value in metadata["inputs"].items():
        entry = metadata["spec"]["inputs"][value["column"]]
        raw = rows[entry.get("column", value["column"])]
        encoded = input_encoder(metadata["spec"], value["column"]).encode(raw)
        if entry["kind"] == "nested":
            feeds |= {name: nested_feeds(encoded, unique)[value["holds"]]}
        elif value["holds"] == "lengths":
            feeds[name] = np.array([len(row) for row in encoded])
        elif value["holds"] == "values":
            feeds[name] = padded([np.reshape(row, (len(row), -1)) for row in raw], np.float64)
        else:
            feeds[name] = padded(encoded, np.int64 if value["holds"] == "ids" else np.float32)
    return feeds


def nested_feeds(rows, unique):
    """Return the characters of words, by what each input holds."""
    words = [tuple(word) for row in rows for word in row]
    kept = list(dict.fromkeys(words)) if unique else words
    places = iter([kept.index(word) for word in words] if unique else range(len(words)))
    return {
        "ids": padded(kept, np.int64),
        "lengths": np.array([len(word) for word in kept]),
        "index": padded([[next(places) for _ in row] for row in rows], np.int64),
    }


def batches(model, rows):
    """Return a packed batch of each row alone, in the order of the rows."""
    spec = model.spec
    columns = {entry.get("column", name) for name, entry in spec["inputs"].items()}
    kept = datasets.Dataset.from_dict({column: rows[column] for column in columns})
    own = {"inputs": spec["inputs"], "targets": {}}
    data = SequenceDataModule({"train": kept}, spec=own, max_tokens=10**6, validation_fraction=0.0)
    encoded = data.rows("train", with_targets=False)
    return [encoded[[i]] for i in range(len(kept))]


@torch.no_grad()
def raw_outputs(model, rows):
    """Return the model's raw outputs of each row alone: (L, C), or (C,) per sequence."""
    model.eval()
    found = []
    for batch in batches(model, rows):
        output = model(batch.inputs)
        found.append(output[0] if isinstance(output, torch.Tensor) else packed.unpack(output)[0])
    return [values.numpy() for values in found]


@torch.no_grad()
def predictions(model, rows):
    """Return the model's predictions of each row alone, by column, as plain types."""
    model.eval()
    each = [model.predict_step(batch, 0).columns for batch in batches(model, rows)]
    # Spans follow from the tags.
    return {name: [columns[name][0] for columns in each] for name in each[0] if not name.endswith("_spans")}


def decoded(session, outputs, lengths):
    """Return what a graph's outputs mean, by name: for each row a plain value or list, without padding."""
    metadata, found = about(session)["outputs"], {}
    for name, values in outputs.items():
        value = metadata[name]
        own = [row[:n] for row, n in zip(values, lengths, strict=True)] if value["per"] == "token" else list(values)
        names = value.get("names")
        if value["holds"] == "labels":
            own = [np.array(names)[row].tolist() for row in own]
        elif value["holds"] == "sets":
            own = [_sets(row, names) for row in own]
        found[name] = own
    return found


def _sets(row, names):
    if row.ndim == 2:
        return [_sets(each, names) for each in row]
    return [name for name, hit in zip(names, row, strict=True) if hit]


def check(model, path, rows, **options):
    """Check that the graph gives every row what the model gives it alone, in a batch and in batches of one row.

    Returns:
        The decoded outputs, by name.
    """
    session = export(model, path, scores=True)
    expected, raw = predictions(model, rows), raw_outputs(model, rows)
    count = len(raw)
    found = {}
    for places in (list(range(count)), *([i] for i in range(count))):
        some = {column: [values[i] for i in places] for column, values in rows.items()}
        feeds = feeds_of(session, some, **options)
        found[len(places)] = result = decoded(session, run(session, feeds), feeds["lengths"])
        for column, values in expected.items():
            for own, i in zip(result[column], places, strict=True):
                if isinstance(own, np.ndarray | np.floating):
                    np.testing.assert_allclose(own, values[i], **TOLERANCE)
                else:
                    assert own == values[i], (column, i)
        for name in (name for name in result if name.endswith("_logits")):
            for own, i in zip(result[name], places, strict=True):
                np.testing.assert_allclose(own, raw[i], **TOLERANCE)
    return found[count]


def layer_session(build, inputs):
    """Return a session of a graph of one part.

    Args:
        build: A function of the graph and the names of its inputs, which returns outputs by name.
        inputs: By name, the type and the dimensions of an input.
    """
    graph = Graph()
    names = [graph.input(name, dtype, shape) for name, (dtype, shape) in inputs.items()]
    for name, value in build(graph, *names).items():
        graph.output(value, name, np.int64 if name == "lengths_after" else np.float32, [None] * RANKS.get(name, 3))
    return session_of(to_proto(graph, {}).SerializeToString())


def steps_session(build, features, dtype=np.float32):
    """Return a session of a part that reads steps (B, T, D), or ids (B, T); see :func:`layer_session`."""
    shape = ["batch", "time"] + ([features] if features else [])
    inputs = {"values": (dtype, shape), "lengths": (np.int64, ["batch"])}
    return layer_session(lambda graph, values, lengths: build(graph, Steps(values, lengths)), inputs)


def packed_and_feeds(lengths, features, seed=0):
    """Return random sequences, packed in their order, and the same padded; behind the ends are large values."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(n, features, generator=generator) for n in lengths]
    values = np.full((len(rows), max(lengths) + 1, features), 1e3, dtype=np.float32)  # longer than needed, too
    for place, row in zip(values, rows, strict=True):
        place[: len(row)] = row.numpy()
    return packed.pack(rows), {"values": values, "lengths": np.array(lengths)}
