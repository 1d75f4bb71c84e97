"""Read checkpoints of unknown origin: only plain types and tensors, and only classes that may be used."""

import errno
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.fabric.utilities.cloud_io import get_filesystem

from seqkit.class_paths import resolve_class
from seqkit.data.encoders import encoder_classes
from seqkit.upstream.lightning import default_map_location, saved_arguments


def read_checkpoint(
    file: str | Path | IO[bytes], map_location: Any = "cpu", *, weights_only: bool = True
) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
        file: Its path, its URL, or the open file.
        map_location: As in :func:`torch.load`; None for the devices of the checkpoint, where they exist.
        weights_only: Whether to refuse everything but tensors and plain types. Anything else could run any code.

    Raises:
        FileNotFoundError: There is no such file, or its server cannot be reached.
        ValueError: The file holds other objects, or is no checkpoint; or this machine lacks the device.
    """
    check_device(map_location)
    if isinstance(file, str | Path):
        with _opened(file) as opened:
            checkpoint = _read(opened, file, map_location, weights_only)
    else:
        checkpoint = _read(file, file, map_location, weights_only)
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{file} holds a {type(checkpoint).__name__}; it is no checkpoint of seqkit")
    return checkpoint


def check_device(device: Any) -> None:
    """Check that this machine has a device.

    Args:
        device: A device or its name. Other kinds of ``map_location`` are not checked; see :func:`torch.load`.

    Raises:
        ValueError: It has not.
    """
    if not isinstance(device, str | torch.device):
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = f"{error}".strip().partition("\n")[0].rstrip(".")
        raise ValueError(
            f"this machine has no device {str(device)!r} ({reason}); give another one, such as cpu"
        ) from error


def _opened(file: str | Path) -> AbstractContextManager[IO[bytes]]:
    try:
        return cast(AbstractContextManager[IO[bytes]], get_filesystem(file).open(str(file), "rb"))
    except FileNotFoundError as error:
        if error.errno is not None:
            raise
        message = "there is no such file, or its server cannot be reached"  # for a URL, the error names it only
        raise FileNotFoundError(errno.ENOENT, message, str(file)) from error


def _read(opened: IO[bytes], name: Any, map_location: Any, weights_only: bool) -> Any:
    """Read what ``torch.save`` has written; torch's messages advise to read anything, so none of them is quoted."""
    start = opened.read(2)
    opened.seek(-len(start), os.SEEK_CUR)
    if start not in (b"PK", b"\x80\x02"):  # a zip archive; a pickle, in the older format
        raise ValueError(
            f"{name} is no checkpoint of seqkit: torch.save has not written it; name a file such as best.ckpt"
        )
    try:
        return torch.load(opened, map_location=map_location or default_map_location, weights_only=weights_only)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # torch raises many types for a file that is cut off or of another format
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a position in a file that is cut off
            raise
        found = re.search(r"GLOBAL ([\w.]+)|class ([\w.]+) ", f"{error}")
        raise ValueError(
            f"{name} is damaged, or holds more than tensors and plain types; anything else could run any code, "
            f"and is not read" + (f" (it names {found[1] or found[2]})" if found else "")
        ) from error


def saved_model(
    checkpoint: Mapping[str, Any], base: type, trust: str | Iterable[str]
) -> tuple[type[Any], dict[str, Any], dict[str, Any]]:
    """Return the class, the spec and the other arguments of the model in a checkpoint.

    The class and the spec are checked. The arguments are those that :mod:`seqkit.tasks.checkpoints.parts` reads.

    Args:
        checkpoint: The checkpoint.
        base: The class of which the model's must be a subclass.
        trust: Names of modules whose classes may be used.

    Raises:
        ValueError: The checkpoint holds no model of seqkit, or names a class that may not be used.
    """
    saved = saved_arguments(checkpoint.get("hyper_parameters"))
    if saved is None or "spec" not in saved[1]:
        raise ValueError("the checkpoint holds no model of seqkit: its hyper_parameters lack the class or the spec")
    class_path, arguments = saved
    spec = arguments.pop("spec")
    return named_model(class_path, spec, base, trust, place="the checkpoint's model"), spec, arguments


def named_model(class_path: Any, spec: Any, base: type, trust: str | Iterable[str], *, place: str) -> type[Any]:
    """Return the class of a model that a file names, after a check of its spec.

    Args:
        class_path: What the file says.
        spec: The spec of its data.
        base: The class of which the model's must be a subclass.
        trust: Names of modules whose classes may be used.
        place: Where the class stands, for errors.

    Raises:
        TypeError: The spec is no dict of dicts.
        ValueError: The class, or one in the spec, may not be used, or is not what belongs there.
    """
    cls = resolve_class(class_path, base, trust=trust, place=place)
    encoder_classes(spec, trust)
    return cls
