"""A model of any task, from a checkpoint or a folder."""

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
        ValueError: The file is no checkpoint, the folder has no model, or either names a class of others.
    """
    if isinstance(path, str | Path) and os.path.isdir(path):
        return SequenceModule.from_pretrained(path, map_location=map_location or "cpu", trust=trust)
    return SequenceModule.load_from_checkpoint(path, map_location, trust=trust)
