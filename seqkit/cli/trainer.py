"""The trainer of the command line: each subcommand that Lightning does not have is a method."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer

from seqkit.cli.commands.inspect import inspect
from seqkit.cli.commands.learning_rate import find_lr
from seqkit.cli.commands.tuning import find_max_tokens
from seqkit.data.lightning import SequenceDataModule
from seqkit.tasks import SequenceModule


class SequenceTrainer(Trainer):
    """A Trainer with a method for each subcommand that Lightning does not have."""

    def inspect(
        self,
        model: LightningModule,  # noqa: ARG002
        datamodule: SequenceDataModule,
        picture: str = "inspect.png",
    ) -> None:
        """Print and draw the lengths of a config's data and the padding that bucketing saves.

        Args:
            model: The config's model; not used.
            datamodule: The config's data.
            picture: The image file to draw; its suffix is the format.
        """
        inspect(datamodule, Path(picture))

    def find_lr(
        self,
        model: SequenceModule,
        datamodule: SequenceDataModule,
        picture: str = "find_lr.png",
        steps: int = 150,
        lowest: float = 1e-6,
        highest: float = 10.0,
    ) -> None:
        """Find a learning rate by raising it at each step, and draw the loss; see `seqkit.cli.find_lr`.

        Args:
            model: The config's model.
            datamodule: The config's data.
            picture: The image file to draw; its suffix is the format.
            steps: The number of steps.
            lowest: The rate of the first step, at which the model does not learn yet.
            highest: The rate of the last step.
        """
        find_lr(self, model, datamodule, Path(picture), steps=steps, lowest=lowest, highest=highest)

    def find_max_tokens(
        self, model: SequenceModule, datamodule: SequenceDataModule, seconds: float = 10.0, most: int = 1 << 22
    ) -> None:
        """Find the largest token budget by doubling it; see `seqkit.cli.find_max_tokens`.

        Args:
            model: The config's model.
            datamodule: The config's data; its max_tokens is the first budget.
            seconds: The longest time that a step may take.
            most: The largest budget to try.
        """
        find_max_tokens(self, model, datamodule, seconds, most)
