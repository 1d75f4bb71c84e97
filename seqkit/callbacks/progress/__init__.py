"""How far a run is: a line an epoch, and a bar on a terminal."""

from seqkit.callbacks.progress.progress import Progress

__all__ = ["Progress"]
