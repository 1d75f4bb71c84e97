"""What a data set is made of, and what bucketing it saves: printed and drawn."""

from pathlib import Path

from seqkit.data.module import SequenceDataModule


def inspect(data: SequenceDataModule, picture: Path) -> None:
    pass
