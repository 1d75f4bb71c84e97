"""``python -m seqkit {fit,validate,test,predict,inspect,find_lr,find_max_tokens}``: the toolkit's LightningCLI."""

import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from seqkit.callbacks import BestCheckpoint, PredictionWriter, Report, Summary, Throughput
from seqkit.cli.inspect import inspect
from seqkit.cli.tuning import find_lr, find_max_tokens
from seqkit.data.lightning.datamodule import SequenceDataModule
from seqkit.tasks.module import SequenceModule


class SequenceTrainer(Trainer):
    """A Trainer with some more verbs."""

    def inspect(
        self,
        model: LightningModule,  # noqa: ARG002
        datamodule: SequenceDataModule,
        picture: str = "inspect.png",
    ) -> None:
        """Print and draw what the data of a config is made of, and what its bucketing saves.

        Args:
            model: The configuration's model; not used.
            datamodule: The configuration's data.
            picture: The PNG file to draw.
        """
        inspect(datamodule, Path(picture))

    def find_lr(self, model: LightningModule, datamodule: SequenceDataModule, picture: str = "find_lr.png") -> None:
        """Find a learning rate by raising it step by step, and draw the loss; see `seqkit.cli.tuning.find_lr`.

        Args:
            model: The configuration's model.
            datamodule: The configuration's data.
            picture: The PNG file to draw.
        """
        find_lr(self, model, datamodule, Path(picture))

    def find_max_tokens(
        self, model: SequenceModule, datamodule: SequenceDataModule, seconds: float = 10.0, most: int = 1 << 22
    ) -> None:
        """Find the largest budget of tokens by doubling it, on the heaviest batch of each.

        Args:
            model: The configuration's model.
            datamodule: The configuration's data, whose max_tokens is the first budget.
            seconds: The longest that a step may take.
            most: The largest budget to try.
        """
        find_max_tokens(self, model, datamodule, seconds, most)


class KeepConfig(SaveConfigCallback):
    """Save the configuration beside the logs, and that of the data in every checkpoint."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the configuration, but not without a logger: it would replace a file of the working directory."""
        if trainer.loggers:
            super().setup(trainer, pl_module, stage)

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Put the data's configuration into the checkpoint; the spec is there with the model's arguments."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        checkpoint["seqkit_data"] = config["data"] | {"spec": None}


class SequenceCLI(LightningCLI):
    """The LightningCLI with one link, some more verbs, and checkpoints that suffice alone."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's, ``inspect``, ``find_lr`` and ``find_max_tokens``."""
        own = {verb: {"model", "datamodule"} for verb in ("inspect", "find_lr", "find_max_tokens")}
        return LightningCLI.subcommands() | own

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what the data decides to the model, and let ``predict`` say where it writes."""
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.add_lightning_class_args(PredictionWriter, "predictions")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, on top of the model and the data of the checkpoint where one is given."""
        if args is not None and not isinstance(args, list):
            super().parse_arguments(parser, args)
            return
        words = sys.argv[1:] if args is None else args
        saved = _saved_config(words)
        if saved is None:
            self.config = parser.parse_args(words)
            return
        config, spec = saved
        # Right after the verb, so that whatever else is given overrides it.
        self.config = parser.parse_args([words[0], "--config", yaml.safe_dump(config), *words[1:]])
        _check_same_class(config["model"]["class_path"], self.config[words[0]]["model"]["class_path"])
        self.config[words[0]]["data"]["spec"] = spec

    def _parse_ckpt_path(self) -> None:
        """Nothing: ``parse_arguments`` has taken from the checkpoint what it needs."""

    def instantiate_classes(self) -> None:
        """Instantiate, and let an error that a part raises stand for itself.

        The parser wraps it into a list of all types that it tried and the whole configuration, with vocabularies.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise cause from None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the callbacks and loggers that are not turned off or given otherwise."""
        config = self._get(self.config, "trainer")
        callbacks: list[Callback] = [Throughput(), Summary(), Report()]
        if config["enable_progress_bar"] is not False:
            callbacks.append(RichProgressBar())
        if config["enable_checkpointing"] is not False:
            callbacks.append(BestCheckpoint())
        self.trainer_defaults["callbacks"] = callbacks
        if config["logger"] is None:
            kwargs["logger"] = self._loggers(config["default_root_dir"] or "runs")
        return super().instantiate_trainer(**kwargs)

    def _loggers(self, folder: str) -> list[Logger] | bool:
        """CSV and TensorBoard, in one folder a run."""
        if self.subcommand in ("predict", "inspect", "find_lr", "find_max_tokens"):
            return False
        csv = CSVLogger(folder, name=None)
        return [csv, TensorBoardLogger(folder, name=None, version=csv.version)]


def _saved_config(words: list[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The configuration in the checkpoint that ``--ckpt_path`` names and the spec of its data, if there are any."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    path = parser.parse_known_args(words)[0].ckpt_path
    if path is None or not Path(path).is_file():
        return None
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    arguments = dict(checkpoint.get("hyper_parameters", {}))
    spec = arguments.pop("spec", None)
    class_path = arguments.pop("_class_path", None)
    if spec is None or class_path is None:
        return None
    arguments.pop("_instantiator", None)
    config: dict[str, Any] = {"model": {"class_path": class_path, "init_args": arguments}}
    if "seqkit_data" in checkpoint:
        config["data"] = checkpoint["seqkit_data"]
    return config, spec


def _check_same_class(saved: str, given: str) -> None:
    classes = [getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in (saved, given)]
    if classes[0] is not classes[1]:
        raise ValueError(f"the checkpoint is one of {saved}, but the model is {given}; load it with {saved}")


def main(args: ArgsType = None) -> SequenceCLI:
    """Run the command line.

    Args:
        args: The words after ``python -m seqkit``; by default those of the process.
    """
    return SequenceCLI(
        SequenceModule,
        SequenceDataModule,
        subclass_mode_model=True,
        trainer_class=SequenceTrainer,
        save_config_callback=KeepConfig,
        save_config_kwargs={"overwrite": True},
        seed_everything_default=0,
        auto_configure_optimizers=False,
        args=args,
    )
