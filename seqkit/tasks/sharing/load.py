"""A model of any task, from a checkpoint or a folder."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from seqkit.tasks.module import SequenceModule


def load(
    path: str | Path | IO[bytes], *, map_location: Any = None, trust: str | Sequence[str] = ()
) -> SequenceModule:
    """Rebuild a model of any task from a checkpoint, or from a folder of its ``save_pretrained``.

    The methods ``load_from_checkpoint`` and ``from_pretrained`` of a task take further options, and the latter also
    loads from the Hugging Face Hub.

    Args:
        path: The path or the URL of a checkpoint, or the open file; or the path of a folder.
        map_location: The device. As in :func:`torch.load`; by default that of each weight of a checkpoint, where it
            exists, and the CPU for a folder.
        trust: Names of modules whose classes may be used, such as ``my_project``.

    Raises:
        FileNotFoundError: There is no such file or folder.
        TypeError: ``path`` is something else.
        ValueError: The file is no checkpoint, the folder has no model, or either names a class of others; or this
            machine lacks the device.
    """
    if not (isinstance(path, str | Path) or hasattr(path, "read")):
        raise TypeError(
            f"path={path!r:.60}: must be the path of a checkpoint or a folder, not a {type(path).__name__}"
        )
    if isinstance(path, str | Path) and os.path.isdir(path):
        return SequenceModule.from_pretrained(path, map_location=map_location or "cpu", trust=trust)
    if isinstance(path, str | Path) and "://" not in str(path) and not os.path.exists(path):
        message = (
            "there is no such checkpoint or folder; models of the Hub are loaded by from_pretrained of "
            "seqkit.tasks.SequenceModule"
        )
        raise FileNotFoundError(errno.ENOENT, message, str(path))
    return SequenceModule.load_from_checkpoint(path, map_location, trust=trust)
