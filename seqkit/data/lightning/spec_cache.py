"""Learn the data spec once, and read it in other processes."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, is_caching_enabled

from seqkit.class_paths import allow
from seqkit.data.cache_files import locked, rows_key
from seqkit.data.code_key import code_key
from seqkit.data.encoders import Encoder, Spec, build_encoder, encoder_key, learn_spec
from seqkit.files import atomic_write
from seqkit.upstream.datasets import cache_folder


def learn_spec_once(
    train: Dataset,
    inputs: Mapping[str, Encoder | None],
    targets: Mapping[str, Encoder | None],
    unaligned: Collection[str],
) -> Spec:
    """Return the data spec, which one process learns from rows on disk and other processes read.

    A model needs the spec when it is made, on every rank and before there is a trainer, so the processes share it
    by a file in the cache folder of `datasets`. The file's name is a hash of the rows, the columns and the
    encoders. Nothing is shared for rows in memory, nor if the caching of `datasets` is disabled.

    Args:
        train: The training split.
        inputs: See `seqkit.data.learn_spec`, like the next two.
        targets: The target columns.
        unaligned: The inputs whose sequences have lengths of their own.
    """
    if not train.cache_files or not is_caching_enabled():
        return learn_spec(train, inputs, targets, unaligned)
    allow(*(type(encoder) for encoder in (*inputs.values(), *targets.values()) if encoder is not None))
    file = _file(train, inputs, targets, unaligned)
    with locked(file):
        spec = _read(file)
        if spec is None:
            spec = learn_spec(train, inputs, targets, unaligned)
            _save(spec, file)
        return spec


def _file(train: Dataset, *columns: Any) -> Path:
    """Return the file of a spec."""
    inputs, targets, unaligned = columns
    encoders = [
        [(name, given and (given.column, encoder_key(given))) for name, given in group.items()]
        for group in (inputs, targets)
    ]
    key = repr((rows_key(train), train.features, encoders, list(unaligned), code_key(__name__)))
    name = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return cache_folder() / "seqkit" / f"spec-{name}.json"


def _read(file: Path) -> Spec | None:
    """Read a spec, unless it names an encoder that this program has not made, as `fit` may return one."""
    try:
        spec: Spec = json.loads(file.read_text(encoding="utf-8"))
        for entry in (*spec["inputs"].values(), *spec["targets"].values()):
            build_encoder(entry)
    except (OSError, ValueError):
        return None
    return spec


def _save(spec: Spec, file: Path) -> None:
    """Write a spec, if its JSON is the spec and the folder is writable."""
    text = json.dumps(spec)
    if json.loads(text) != spec:
        return
    try:
        with atomic_write(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError:
        return
