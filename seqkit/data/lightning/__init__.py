"""The Lightning data module, its loaders and its resume state."""

from seqkit.data.lightning.datamodule import SequenceDataModule

__all__ = ["SequenceDataModule"]
