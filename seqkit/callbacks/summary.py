"""Tables of the model's parts before a fit, and of the results after a fit, a validation or a test."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ModelSummary
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from seqkit.callbacks.report.report import Report
from seqkit.callbacks.throughput import Throughput
from seqkit.tasks import SequenceModule
from seqkit.upstream.lightning import find_callbacks, replace_results_table


class Parts(ModelSummary):
    """Print the parts of the model that have parameters, and their number, before a fit.

    A :class:`~lightning.pytorch.callbacks.ModelSummary`: a trainer that has it prints no table of its own.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not trainer.is_global_zero:
            return
        table = Table(title=f"{type(pl_module).__name__}", show_footer=True)
        total, frozen = _count(pl_module)
        table.add_column("part", footer="all")
        table.add_column("class")
        table.add_column("parameters", justify="right", footer=f"{total:,}")
        if frozen:
            table.add_column("frozen", justify="right", footer=f"{frozen:,}")
        for name, part in _parts(pl_module):
            size, still = _count(part)
            if size:
                table.add_row(name, type(part).__name__, f"{size:,}", *([f"{still:,}"] if frozen else []))
        _print(table)


class Summary(Callback):
    """Print the results after a fit: the last validation metrics, the training speed and the best checkpoint.

    After ``validate`` and ``test`` it prints their metrics, in the place of Lightning's table. The F1 of each class
    (``per_class``) has a table of its own below; after a test it is in the table of the
    :class:`~seqkit.callbacks.Report`, if there is one. Only the first rank prints.
    """

    def __init__(self) -> None:
        self._prints = False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the tables."""
        if not trainer.is_global_zero:
            return
        totals, by_class = _split(trainer.logged_metrics, "val_")
        table = _table(f"{type(pl_module).__name__} after {trainer.current_epoch} epoch(s)", totals)
        table.add_section()
        table.add_row("parameters", f"{_count(pl_module)[0]:,}")
        table.add_row("optimiser steps", f"{trainer.global_step:,}")
        for throughput in find_callbacks(trainer, Throughput):
            if throughput.seconds:
                ranks = trainer.world_size
                of_rank = "" if ranks == 1 else ", first rank"
                table.add_row(f"tokens trained on{of_rank}", f"{throughput.tokens:,}")
                table.add_row("training time", f"{throughput.seconds:.1f} s")
                table.add_row("tokens a second", f"{throughput.tokens_per_second * ranks:,.0f}")
        for checkpoint in find_callbacks(trainer, ModelCheckpoint):
            if checkpoint.best_model_path:
                if checkpoint.best_model_score is not None:
                    table.add_row(f"best {checkpoint.monitor}", f"{float(checkpoint.best_model_score):.4f}")
                table.add_row("checkpoint", checkpoint.best_model_path)
        _print(table)
        _print_classes(by_class, _class_counts(pl_module, "val"))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take the place of the table that ``validate`` prints."""
        if trainer.state.fn == "validate":
            self._prints = replace_results_table(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the results of ``validate``."""
        values = trainer.logged_metrics  # all ranks: Lightning may have to combine values of all
        if trainer.state.fn == "validate" and self._prints and trainer.is_global_zero:
            totals, by_class = _split(values, "val_")
            _print(_table("validation", totals))
            _print_classes(by_class, _class_counts(pl_module, "val"))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take the place of the table that ``test`` prints."""
        self._prints = replace_results_table(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the results of ``test``."""
        values = trainer.logged_metrics  # all ranks
        if self._prints and trainer.is_global_zero:
            totals, by_class = _split(values, "test_")
            _print(_table("test", totals))
            if not find_callbacks(trainer, Report):
                _print_classes(by_class, _class_counts(pl_module, "test"))


def _split(values: Mapping[str, Tensor], stage: str) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Separate the values of a stage: those of all units, and by metric those of each class."""
    totals: dict[str, float] = {}
    by_class: dict[str, dict[str, float]] = {}
    for name in values:
        if name.startswith(stage):
            ends = [i for i, letter in enumerate(name) if letter == "_" and name[:i].endswith("f1")]
            metric = next((name[:end] for end in ends if name[:end] in values), None)
            if metric is None or name == f"{metric}_macro":
                totals[name] = float(values[name])
            else:
                by_class.setdefault(metric, {})[name.removeprefix(f"{metric}_")] = float(values[name])
    return totals, by_class


def _table(title: str, totals: Mapping[str, float]) -> Table:
    table = Table(title=title, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right", overflow="fold")
    for name, value in totals.items():
        table.add_row(name, f"{value:.4f}")
    return table


def _class_counts(module: LightningModule, stage: str) -> dict[str, int]:
    """Return the number of true units of each class by the name of its F1; a module that is no task has none."""
    return module.class_counts(stage) if isinstance(module, SequenceModule) else {}


def _print_classes(by_class: Mapping[str, Mapping[str, float]], counts: Mapping[str, int]) -> None:
    """Print a table a metric, with a row a class: its F1 and, where they are known, the number of true units."""
    for metric, values in by_class.items():
        table = Table(title=f"{metric} by class")
        table.add_column("class")
        table.add_column("F1", justify="right")
        table.add_column("support", justify="right")
        for name, value in values.items():
            count = counts.get(f"{metric}_{name}")
            table.add_row(name, f"{value:.4f}", "" if count is None else f"{count:,}")
        _print(table)


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the model's children by name, a head by its target; of a list of modules, each of these."""
    columns = {id(head): column for column, head in getattr(model, "heads", {}).items()}
    parts: list[tuple[str, nn.Module]] = []
    for name, child in model.named_children():
        if id(child) in columns:
            name = f"heads.{columns[id(child)]}"
        if isinstance(child, nn.ModuleList):
            parts += [(f"{name}.{inner}", part) for inner, part in child.named_children()]
        else:
            parts.append((name, child))
    return parts


def _count(module: nn.Module) -> tuple[int, int]:
    """Return the number of parameters, and of those that are not trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if not trained)


def _print(table: Any) -> None:
    Console(markup=False, emoji=False).print(table)  # names of classes literally, "[/b]" too
