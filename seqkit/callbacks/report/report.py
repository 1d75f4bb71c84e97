"""The report of a test."""

import json
import re
from pathlib import Path
from typing import Any, cast

import torch.distributed
from datasets import Dataset
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from rich.console import Console
from rich.table import Table

from seqkit.batch import Batch
from seqkit.callbacks.report.worst_rows import WorstRow, WorstRows
from seqkit.data.encoders import source_columns
from seqkit.figures import pixels
from seqkit.files import atomic_write, check_not_read
from seqkit.metrics import ReportMetric, ReportTable
from seqkit.tasks import SequenceModule, TaskOutput


class Report(Callback):
    """Print and write detailed results of a test, for each target, and the rows with the largest loss.

    A task defines its report by :meth:`~seqkit.tasks.module.SequenceModule.build_report`. seqkit's tasks print
    precision, recall, F1 and support of each class, label or type of span; bias and errors of values; of label
    sequences (:class:`~seqkit.CTCRecognizer`) the most frequent substitutions, deletions and insertions; of a
    language model the perplexity by position in the row and the tokens that most of the loss comes from; and the
    rows with the largest mean loss per token or sequence (continuous text has no rows). Files are written beside
    the logs, for a target ``COLUMN`` (of a language model its input):

    - ``test_COLUMN.json``: all numbers, with the confusion matrix (true by predicted) or all edits
    - ``test_COLUMN.png``: the confusion matrix, or predictions against true values and the residuals; also an image
      in TensorBoard, if a :class:`~lightning.pytorch.loggers.TensorBoardLogger` logs
    - ``test_COLUMN_worst.jsonl``: the worst rows, worst first, with their number in the dataset, the predicted and
      the true target or the negative log-likelihood of each token, and the dataset's columns (except of a stream)

    A character that a file name cannot have is written as ``%2F`` or the like. Results are exact over batches and
    ranks, and the model runs once: the callback uses the outputs of the test step.

    Args:
        worst: The number of worst rows; 0 for none.
        folder: Where the files go; by default the logger's folder. Without a logger nothing is written.

    Raises:
        ValueError: ``worst`` is negative.
    """

    def __init__(self, worst: int = 10, folder: str | None = None) -> None:
        if worst < 0:
            raise ValueError(f"Report got worst={worst}; give a number of rows, 0 for none")
        self.worst = worst
        self.folder = folder
        self._tasks: dict[str, SequenceModule] = {}
        self._metrics: dict[str, list[ReportMetric]] = {}
        self._worst: dict[str, WorstRows] = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Build the metrics of each target that has a report: the task knows the split's labels by now."""
        self._tasks = getattr(pl_module, "heads", {})
        with pl_module.device:
            built = {column: task.build_report() for column, task in self._tasks.items()}
        self._metrics = {column: metrics for column, metrics in built.items() if metrics}
        self._worst = {column: WorstRows(self._tasks[column], self.worst) for column in self._metrics if self.worst}

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: dict[str, TaskOutput] | None,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Update the metrics and the worst rows with a batch."""
        for column, output in (outputs or {}).items():
            if column in self._metrics:
                inputs = self._tasks[column].report_inputs(*output)
                for metric, arguments in zip(self._metrics[column], inputs, strict=True):
                    metric.update(*arguments)
            if column in self._worst:
                self._worst[column].update(batch.rows.tolist(), output)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Combine the results of all ranks; print, write and draw them on the first."""
        folder = self.folder or (trainer.log_dir if trainer.loggers else None)  # log_dir communicates between ranks
        for metrics in self._metrics.values():
            for metric in metrics:
                metric.compute()  # synchronises the ranks
        for worst in self._worst.values():
            for rows in _from_other_ranks(trainer, worst.rows):
                worst.merge(rows)
        if not trainer.is_global_zero:
            return
        console = Console(markup=False, emoji=False)  # print words and names literally, "[/b]" too
        for column, metrics in self._metrics.items():
            for metric in metrics:
                table = metric.table()
                if any(table.sections):
                    console.print(_rich_table(table, f"test, {column}"))
            path = None if folder is None else Path(folder) / f"test_{_file_name(column)}.json"
            if path is not None:
                source = getattr(trainer.datamodule, "source", None)  # type: ignore[attr-defined]
                for written in (path, path.with_suffix(".png"), _worst_path(path)):
                    check_not_read(written, source)
                self._write(trainer, column, path)
            if column in self._worst and self._worst[column].rows:
                self._report_worst(trainer, pl_module, column, console, path)
        if self._metrics and folder is not None:
            rank_zero_info(f"report: {folder}")

    def _write(self, trainer: Trainer, column: str, path: Path) -> None:
        """Write the results of a target, and draw its figure."""
        results: dict[str, Any] = {}
        for metric in self._metrics[column]:
            results |= metric.to_python()
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(results, indent=1, ensure_ascii=False), encoding="utf-8")
        for metric in self._metrics[column]:
            try:
                drawn = metric.plot(f"test, {column}")
            except ImportError as error:
                rank_zero_warn(f"Report: {error}; the tables are complete without")
                return
            if drawn is None:
                continue
            figure, _ = drawn
            with atomic_write(path.with_suffix(".png")) as partial:
                figure.savefig(partial)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    image = pixels(figure)
                    logger.experiment.add_image(f"test_{column}", image, trainer.global_step, dataformats="HWC")

    def _report_worst(
        self, trainer: Trainer, pl_module: LightningModule, column: str, console: Console, path: Path | None
    ) -> None:
        """Print and write the worst rows of a target."""
        worst = self._worst[column]
        rows = _dataset_rows(trainer, [row.row for row in worst.rows])
        names = source_columns(cast(SequenceModule, pl_module).spec["inputs"])
        console.print(worst.table([{name: row[name] for name in names if name in row} for row in rows]))
        if path is not None:
            lines = [line | {"columns": row} for line, row in zip(worst.lines(), rows, strict=True)]
            texts = (json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines)
            with atomic_write(_worst_path(path)) as partial:
                partial.write_text("".join(texts), encoding="utf-8")


def _worst_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_worst.jsonl")


def _rich_table(table: ReportTable, title: str) -> Table:
    made = Table(title=title, caption=table.caption or None)
    for i, name in enumerate(table.header):
        made.add_column(name, justify="right" if i else "left")
    for section in table.sections:
        made.add_section()
        for row in section:
            made.add_row(*row)
    return made


def _file_name(column: str) -> str:
    """Write a column's name with the characters that no file name can have quoted, as in a URL."""
    return re.sub(r'[%/\\:*?"<>|\x00-\x1f]', lambda found: f"%{ord(found[0]):02X}", column)


def _from_other_ranks(trainer: Trainer, own: list[WorstRow]) -> list[list[WorstRow]]:
    if trainer.world_size == 1:
        return []
    every = [own] * trainer.world_size
    torch.distributed.all_gather_object(every, own)
    return every[: trainer.global_rank] + every[trainer.global_rank + 1 :]


def _dataset_rows(trainer: Trainer, rows: list[int]) -> list[dict[str, Any]]:
    """Look up rows of the test split; those of a stream or of a user's own loader are empty."""
    splits = getattr(getattr(trainer, "datamodule", None), "splits", {})
    split = splits.get("test")
    return [split[row] for row in rows] if isinstance(split, Dataset) else [{} for _ in rows]
