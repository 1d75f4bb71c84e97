"""Undocumented parts of Hugging Face `datasets`."""

from pathlib import Path

import datasets
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter


def cache_folder() -> Path:
    """Return the folder in which `datasets` caches Arrow files.

    Files parsed by seqkit's sources are cached there too. Checked with datasets 5.2.0.
    """
    return Path(datasets.config.HF_DATASETS_CACHE)


def fingerprint(dataset: datasets.Dataset) -> str:
    """Return the hash that identifies a dataset's content.

    It names the file in which the lengths of a large dataset are cached. Checked with datasets 5.2.0.
    """
    return str(dataset._fingerprint)


def view_indices(dataset: datasets.Dataset) -> pa.ChunkedArray | None:
    """Return the row in the Arrow table for each row of a dataset, or None if the two are the same.

    ``select``, ``shuffle``, ``sort`` and ``filter`` make views: the table stays and row numbers are stored beside
    it. Batches are gathered from the table, so they need these numbers. Checked with datasets 5.2.0.
    """
    return None if dataset._indices is None else dataset._indices.column(0)


def write_arrow(table: pa.Table, features: datasets.Features, path: Path, *, fingerprint: str) -> None:
    """Write a table as an Arrow file that ``Dataset.from_file`` memory-maps.

    The dataset read from the file has the given fingerprint, so what is later ``map``-ped over it is cached by this
    name, wherever and whenever the file was written. Checked with datasets 5.2.0.
    """
    with ArrowWriter(features=features, path=str(path), fingerprint=fingerprint) as writer:
        writer.write_table(table)
        writer.finalize()
