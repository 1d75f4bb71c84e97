"""Read checkpoints of unknown origin: only plain types and tensors, and only classes that may be used."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

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
        ValueError: The file holds other objects, or is no checkpoint.
    """
    options: dict[str, Any] = {"map_location": map_location or default_map_location, "weights_only": weights_only}
    try:
        if isinstance(file, str | Path):
            with get_filesystem(file).open(str(file), "rb") as opened:
                checkpoint = torch.load(opened, **options)
        else:
            checkpoint = torch.load(file, **options)
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # torch raises many types for a file that is cut off or of another format
        raise ValueError(
            f"{file} is damaged, or holds more than tensors and plain types; anything else could run any code, "
            f"and is not read ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]})"
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{file} holds a {type(checkpoint).__name__}; it is no checkpoint of seqkit")
    return checkpoint


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
    cls = resolve_class(class_path, base, trust=trust, place="the checkpoint's model")
    spec = arguments.pop("spec")
    encoder_classes(spec, trust)
    return cls, spec, arguments
