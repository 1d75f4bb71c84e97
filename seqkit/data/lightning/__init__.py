"""The Lightning data module, its loaders and its resume state."""

from seqkit.data.lightning.columns import column_roles, row_lengths
from seqkit.data.lightning.datamodule import SequenceDataModule
from seqkit.data.lightning.resume import finished_epochs

__all__ = ["SequenceDataModule", "column_roles", "finished_epochs", "row_lengths"]
