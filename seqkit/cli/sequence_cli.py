"""The LightningCLI of seqkit: fit, validate, test, predict, inspect, find_lr and find_max_tokens."""

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml
from jsonargparse import ActionYesNo, Namespace
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn

from seqkit.callbacks import BestCheckpoint, Parts, PredictionWriter, Progress, Report, Summary, Throughput
from seqkit.class_paths import class_at, public_path
from seqkit.cli.arguments import check_files, check_seed, is_shared
from seqkit.cli.messages import unwrapped
from seqkit.cli.parser import Parser
from seqkit.cli.run.finished import check_steps_left
from seqkit.cli.run.folder import check_writable, name_option, next_version, remove_unused, run_folder
from seqkit.cli.run.interruption import command_to_continue, exit_status, last_checkpoint
from seqkit.cli.saved_config import SavedConfig, read_saved_config, texts
from seqkit.cli.subcommands import PROGRAM
from seqkit.cli.trainer import SequenceTrainer
from seqkit.data.lightning import SequenceDataModule
from seqkit.files import new_folders
from seqkit.tasks import SequenceModule
from seqkit.tasks.sharing.files import load_weights
from seqkit.upstream.lightning import dump_config

_WITH_LOGS = ("fit", "validate", "test")
_WITH_FOLDER = (CSVLogger, TensorBoardLogger)  # loggers with a folder for each run
_ROOT = "runs"  # the default of default_root_dir
_EVALUATION = ("validate", "test", "predict")
_PREDICT = (
    "Predict a split of the data, or texts: --text TEXT, any number of times, or --text - for the lines of the "
    f"standard input; `{PROGRAM} predict --text - --help` lists the options for texts."
)


class SaveConfig(SaveConfigCallback):
    """Save the config in the folder of the logs and in loggers; in checkpoints, its data part and the directory."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save the config if there is a logger; without one, it would replace a file of the working directory."""
        if trainer.loggers:
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Log the config as hyper-parameters with loggers that have no folder for the run, such as W&B's.

        A fit that resumes logs none: MLflow refuses other values in a run that continues.
        """
        if stage == "fit" and self.config["ckpt_path"] is not None:
            return
        for logger in trainer.loggers:
            if not isinstance(logger, _WITH_FOLDER):
                logger.log_hyperparams(self._plain_config())

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the data part, without the spec, which is among the model's arguments, and the working directory."""
        checkpoint["seqkit_data"] = self._plain_config()["data"] | {"spec": None}
        checkpoint["seqkit_trained_in"] = os.getcwd()

    def _plain_config(self) -> dict[str, Any]:
        """Return the config as plain types."""
        config: dict[str, Any] = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        return config


class SequenceCLI(LightningCLI):
    """Run a subcommand on the model and the data of a config or of a checkpoint.

    Differs from the LightningCLI: ``data.spec`` is linked to the model; a checkpoint suffices for ``test`` and
    ``predict``; some callbacks and loggers are on by default; saved configs name classes by their public paths; a
    run that fails before its first values leaves no folder.

    Args:
        args: The arguments after ``python -m seqkit``; by default those of the process.
        callbacks: Callbacks of the trainer, next to those of the config: objects that a config cannot describe.
    """

    prints_tables = True
    """Whether the default callbacks print tables: the model's parts, a summary, a report."""

    other_options: Sequence[str] = ()
    """Names of options that are read before these, without dashes; a message about an unknown one suggests them."""

    def __init__(self, args: ArgsType = None, callbacks: Sequence[Callback] = ()) -> None:
        self._callbacks = [*callbacks]
        self._saved: SavedConfig | None = None
        self._parsers: list[Parser] = []
        self._args = sys.argv[1:] if args is None else args
        self._ckpt_path: str | None = None
        self._new_folders: list[Path] = []  # of this run
        try:
            self._run(args)
        except BaseException as error:
            self._remove_unused_folders()
            status = exit_status(error)
            self._say_how_to_continue(status)
            if status is not None:
                raise SystemExit(status) from None
            explained = self._with_option(error) if isinstance(error, FileNotFoundError) else error
            if explained is error:
                raise
            raise explained from error

    def _run(self, args: ArgsType) -> None:
        descriptions = {"predict": {"description": _PREDICT}} if "predict" in self.subcommands() else {}
        super().__init__(
            SequenceModule,
            SequenceDataModule,
            subclass_mode_model=True,
            trainer_class=SequenceTrainer,
            save_config_callback=SaveConfig,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_class=Parser,
            parser_kwargs={"prog": PROGRAM} | descriptions,
            args=args,
        )

    def _with_option(self, error: FileNotFoundError) -> FileNotFoundError:
        """Return the error of a missing file with the option that names it."""
        if "config" not in vars(self):
            return error
        source = self.config[self.config["subcommand"]]["data"]["source"]
        source = source.as_dict() if isinstance(source, Namespace) else source
        options = [(re.sub(r"(\.\d+)+$", "", name), value) for name, value in texts("data.source", source)]
        return name_option(error, options, self._saved and self._saved.trained_in)

    def _remove_unused_folders(self) -> None:
        """Remove the folder of a run that has ended before its first values."""
        trainer: Trainer | None = vars(self).get("trainer")
        if trainer is not None and trainer.is_global_zero and self._new_folders:
            remove_unused(self._new_folders)

    def _say_how_to_continue(self, status: int | None) -> None:
        """Print the last checkpoint of a fit that a signal or an error has stopped, and the command to continue."""
        trainer: Trainer | None = vars(self).get("trainer")
        if trainer is None or not (trainer.is_global_zero and trainer.interrupted):
            return
        text = "" if status is None else f"{self.subcommand} was stopped. "
        if self.subcommand == "fit" and isinstance(self._args, list):
            last = last_checkpoint(trainer) or (None if status is None else self._ckpt_path)
            if last is not None:
                text += f"The last checkpoint is {last}. Continue with:\n{command_to_continue(self._args, last)}"
            elif status is not None:
                text += "It has saved no checkpoint yet."
        if text:
            sys.stderr.write(f"\n{text.strip()}\n")

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # Lightning calls it on the object
        """Return the subcommands, each with the arguments that are not options; only the given one if one is given.

        The parser of a subcommand takes a moment to build, and no other is needed.
        """
        own = {name: {"model", "datamodule"} for name in ("inspect", "find_lr", "find_max_tokens")}
        known = LightningCLI.subcommands() | own
        given = self._args[0] if isinstance(self._args, list) and self._args else None
        return {given: known[given]} if given in known else known

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Create a parser; all know each other's options, for their messages."""
        parser = super().init_parser(**kwargs)
        self._parsers.append(cast(Parser, parser))
        cast(Parser, parser).family = self._parsers
        of_texts = ["text"] if [*self.subcommands()] == ["predict"] else []
        cast(Parser, parser).other_options = [*self.other_options, *of_texts]
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the data's spec to the model, and add the options of the prediction file."""
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.add_argument(
            "--trust",
            nargs="*",
            default=[],
            help="Modules whose classes a checkpoint may name, such as my_project.",
        )
        parser.link_arguments("trust", "data.trust")
        parser.add_lightning_class_args(PredictionWriter, "predictions")
        parser.add_argument(
            "--scores", action=ActionYesNo, default=False, help="Whether predict adds the probabilities of labels."
        )
        parser.link_arguments("scores", "predictions.scores")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the arguments. If they name a checkpoint, they override its model and data.

        Raises:
            ValueError: The model is of another class than the checkpoint's, or the checkpoint cannot be used.
        """
        for each in self._parsers:
            each.prog = str(each.prog).replace(" [options]", "")  # there are none before the subcommand
        if isinstance(self._args, list):
            self._parse_list(parser, self._args)
        else:
            super().parse_arguments(parser, args)
        options = self.config[self.config["subcommand"]]
        if options.get("ckpt_path") is not None and options.get("weights_only") is None:
            options["weights_only"] = True
        check_seed(options["seed_everything"])
        # Until the classes are instantiated: LightningCLI would let the checkpoint override the arguments.
        self._ckpt_path = options.get("ckpt_path")
        if self._ckpt_path is not None:
            options["ckpt_path"] = None
        elif self.config["subcommand"] in _EVALUATION:
            rank_zero_warn(
                f"{self.config['subcommand']} uses the model as it is created, without trained weights; "
                f"--ckpt_path FILE reads those of a checkpoint"
            )
        self._choose_folder(options)
        if self.config["subcommand"] == "fit" and self._saved is not None:
            check_steps_left(str(self._ckpt_path), self._saved.epochs, self._saved.steps, options["trainer"])

    def _choose_folder(self, options: Namespace) -> None:
        """Let the files of an evaluation go into the run of its checkpoint, by default, and check the folder."""
        subcommand, trainer = self.config["subcommand"], options["trainer"]
        run = run_folder(self._ckpt_path) if self._ckpt_path is not None and subcommand in _EVALUATION else None
        if run is not None and trainer["default_root_dir"] is None:
            trainer["default_root_dir"] = str(run / subcommand)
        root = trainer["default_root_dir"]
        if subcommand == "predict" and options["predictions"]["path"] is None and root is not None:
            options["predictions"]["path"] = str(next_version(root) / "predictions.jsonl")
        writes_checkpoints = subcommand == "fit" and trainer["enable_checkpointing"] is not False
        if trainer["fast_dev_run"]:
            return
        if trainer["logger"] is None and subcommand in _WITH_LOGS:
            check_writable(root or _ROOT)
        elif trainer["logger"] is False and writes_checkpoints:
            check_writable(root or ".")

    def _parse_list(self, parser: LightningArgumentParser, args: list[str]) -> None:
        check_files(args, folders=bool(args) and args[0] in _EVALUATION)
        self._saved = read_saved_config(args)
        if self._saved is not None:
            # Right after the subcommand, so that all other arguments override it.
            args = [args[0], "--config", yaml.safe_dump(self._saved.config, sort_keys=False), *args[1:]]
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        """Name every class of the config by its public path, which outlives a move of the class."""
        options = self.config[self.subcommand]
        if self._ckpt_path is not None and not is_shared(self._ckpt_path):
            options["ckpt_path"] = self._ckpt_path
        use_public_paths(options)

    def instantiate_classes(self) -> None:
        """Instantiate the model, the data and the trainer; raise an error of a part's constructor unchanged.

        The parser wraps it into a list of all types that it tried and the whole config, with vocabularies.
        """
        if self._saved is None:
            self._instantiate_classes()
            return
        # A dump of the config imports what a text in the spec names, such as a label. So the spec is in no dump.
        dump_config(self)
        data = self.config[self.subcommand]["data"]
        data["spec"] = self._saved.spec
        try:
            self._instantiate_classes()
            if is_shared(str(self._ckpt_path)):
                load_weights(self.model, Path(str(self._ckpt_path)))
        finally:
            data["spec"] = None

    def _instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except ValueError as error:
            raise unwrapped(error) from None
        if self.subcommand in _EVALUATION:
            _ = self.datamodule.splits  # a source that cannot be read ends the command before a folder is created

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the default callbacks and loggers to those of the config, except those that it turns off."""
        config = self.config[self.subcommand]["trainer"]
        callbacks: list[Callback] = [Throughput(), *([Summary(), Report()] if self.prints_tables else [])]
        given = self.config_init[self.subcommand]["trainer"]
        own = given["callbacks"] or []
        own = [*([own] if isinstance(own, Callback) else own), *self._callbacks]
        if config["enable_progress_bar"] is not False and not any(isinstance(part, ProgressBar) for part in own):
            callbacks.insert(0, Progress())
        if config["enable_model_summary"] is not False:
            kwargs["enable_model_summary"] = False  # Lightning would say that it adds no other
            if self.prints_tables and not any(isinstance(part, ModelSummary) for part in own):
                callbacks.insert(0, Parts())
        if config["enable_checkpointing"] is not False:
            callbacks.append(BestCheckpoint())
        self.trainer_defaults["callbacks"] = [*callbacks, *self._callbacks]
        loggers = given["logger"]
        if not isinstance(loggers, bool) and loggers != []:
            loggers = [loggers] if isinstance(loggers, Logger) else loggers or []
            kwargs["logger"] = self._loggers(config["default_root_dir"] or _ROOT, loggers)
        return super().instantiate_trainer(**kwargs)

    def _loggers(self, folder: str, own: Sequence[Logger]) -> list[Logger]:
        """Create loggers for CSV and TensorBoard that share one folder per run.

        Loggers of the config take the place of TensorBoard's, and if one of them has a folder per run, of both. The
        first logger is one with such a folder: Lightning writes the config and the checkpoints into its folder.
        """
        first = [logger for logger in own if isinstance(logger, _WITH_FOLDER)]
        others: list[Logger] = [logger for logger in own if logger not in first]
        if first or self.subcommand not in _WITH_LOGS:
            return [*first, *others]
        csv = CSVLogger(folder, name=None)
        if "://" not in folder:
            self._new_folders = new_folders(Path(csv.log_dir))
        if not others:
            others = [TensorBoardLogger(folder, name=None, version=csv.version)]
        return [csv, *others]


def use_public_paths(config: Any) -> None:
    """Replace, in place, every ``class_path`` in a parsed config by the public path of its class."""
    if isinstance(config, list):
        for item in config:
            use_public_paths(item)
    elif isinstance(config, dict | Namespace):
        values = config if isinstance(config, dict) else vars(config)
        for key, value in values.items():
            if key == "class_path" and isinstance(value, str):
                with suppress(ValueError):  # a function that returns the part has no other path
                    values[key] = public_path(class_at(value))
            else:
                use_public_paths(value)
