"""Sequences that arrive in pieces: a model reads each new token once and keeps its state."""

from seqkit.tasks.stream.stream import Stream
from seqkit.tasks.stream.task_stream import TaskStream

__all__ = ["Stream", "TaskStream"]
