"""After a test: tables, pictures, and the rows that went worst."""

import json
import re
from pathlib import Path
from typing import Any

import torch.distributed
from datasets import Dataset
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from rich.console import Console

from seqkit.batch import Batch
from seqkit.callbacks.report.figures import pixels
from seqkit.callbacks.report.tallies import ClassTally, SpanTally, Tally, ValueTally
from seqkit.callbacks.report.text_tallies import EditTally, PlaceTally, TokenTally
from seqkit.callbacks.report.worst_rows import Head, WorstRows
from seqkit.files import atomic_write
from seqkit.tasks.classifier import Classifier
from seqkit.tasks.ctc_recognizer import CTCRecognizer
from seqkit.tasks.forecaster import Forecaster
from seqkit.tasks.language_model import LanguageModel
from seqkit.tasks.outputs import TaskOutput
from seqkit.tasks.regressor import Regressor
from seqkit.tasks.tagger import Tagger


class Report(Callback):
    """Say how a test went, class by class and row by row, for each target.

    Printed: precision, recall, F1 and support of each class, label or type of span; bias and errors of values; of
    label sequences (:class:`~seqkit.CTCRecognizer`) the most frequent substitutions, deletions and insertions; of a
    language model the perplexity by place in the row and the tokens that most of the loss comes from; and the rows
    with the largest mean loss a token or sequence (of continuous text, which has no rows, none). Beside the logs,
    for a target ``COLUMN`` (of a language model its input):

    - ``test_COLUMN.json``: all numbers, the confusion matrix (true by predicted) or all edits with them
    - ``test_COLUMN.png``: the confusion matrix, or predictions against the truth and the residuals; also an image
      in TensorBoard, where a :class:`~lightning.pytorch.loggers.TensorBoardLogger` logs
    - ``test_COLUMN_worst.jsonl``: the worst rows, worst first, with their number in the dataset, what was predicted
      and what was true or each token's nats, and their columns as the dataset has them (but not a stream's)

    A character that a file's name cannot have is written ``%2F`` or the like. Everything is exact over batches and
    ranks, and the net runs once: tests give what they computed.

    Args:
        worst: How many of the worst rows; 0 for none.
        folder: Where the files go; by default the logger's folder, and nowhere without a logger.

    Raises:
        ValueError: ``worst`` is negative.
    """

    def __init__(self, worst: int = 10, folder: str | None = None) -> None:
        if worst < 0:
            raise ValueError(f"Report got worst={worst}; give a number of rows, 0 for none")
        self.worst = worst
        self.folder = folder
        self._tallies: dict[str, list[Tally]] = {}
        self._worst: dict[str, WorstRows] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Count anew."""
        heads: dict[str, Head] = getattr(pl_module, "heads", {})
        every = {column: tallies_of(head) for column, head in heads.items()}
        self._tallies = {column: tallies for column, tallies in every.items() if tallies}
        self._worst = {column: WorstRows(heads[column], self.worst) for column in self._tallies if self.worst}

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: dict[str, TaskOutput] | None,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Count a batch."""
        for column, outcome in (outputs or {}).items():
            for tally in self._tallies.get(column, ()):
                tally.update(outcome)
            if column in self._worst:
                self._worst[column].update(batch.rows.tolist(), outcome)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the ranks' counts together; print, write and draw on the first."""
        folder = self.folder or (trainer.log_dir if trainer.loggers else None)  # all ranks ask for it
        found = _gathered(trainer, (self._tallies, self._worst))
        if not trainer.is_global_zero:
            return
        console = Console(markup=False, emoji=False)  # words and names are shown as they are, "[/b]" too
        for column, tallies in self._tallies.items():
            for i, tally in enumerate(tallies):
                tally.merge(others[0][column][i] for others in found)
                table = tally.table()
                if not table.row_count:
                    continue
                table.title = f"test, {column}"
                console.print(table)
            self._keep(trainer, column, folder)
            if column in self._worst:
                worst = self._worst[column]
                worst.merge(others[1][column] for others in found)
                if not worst.lines:
                    continue
                rows = _dataset_rows(trainer, [line["row"] for line in worst.lines])
                name = _main_column(pl_module)
                console.print(worst.table([row.get(name) for row in rows]))
                if folder is not None:
                    lines = [line | {"columns": row} for line, row in zip(worst.lines, rows, strict=True)]
                    texts = (json.dumps(line, ensure_ascii=False, default=str) + "\n" for line in lines)
                    with atomic_write(Path(folder) / f"test_{_in_a_path(column)}_worst.jsonl") as whole:
                        whole.write_text("".join(texts), encoding="utf-8")

    def _keep(self, trainer: Trainer, column: str, folder: str | None) -> None:
        """Write a target's numbers and draw its picture."""
        if folder is None:
            return
        numbers: dict[str, Any] = {}
        for tally in self._tallies[column]:
            numbers |= tally.to_python()
        path = Path(folder) / f"test_{_in_a_path(column)}.json"
        with atomic_write(path) as whole:
            whole.write_text(json.dumps(numbers, indent=1, ensure_ascii=False), encoding="utf-8")
        for tally in self._tallies[column]:
            try:
                figure = tally.figure(f"test, {column}")
            except ImportError as error:
                rank_zero_warn(f"Report: {error}; the tables are complete without")
                return
            if figure is None:
                continue
            with atomic_write(path.with_suffix(".png")) as whole:
                figure.savefig(whole)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(
                        f"test_{column}", pixels(figure), trainer.global_step, dataformats="HWC"
                    )


def tallies_of(head: Head) -> list[Tally]:
    """What is counted of a task."""
    if isinstance(head, LanguageModel):
        return [TokenTally(head), PlaceTally()]
    if isinstance(head, CTCRecognizer):
        return [EditTally(head)]
    if isinstance(head, Tagger) and head.scheme is not None:
        return [ClassTally(head), SpanTally(head)]
    if isinstance(head, Tagger | Classifier):
        return [ClassTally(head)]
    return [ValueTally(head)] if isinstance(head, Regressor | Forecaster) else []


def _in_a_path(column: str) -> str:
    """A column's name, with what no file's name can have as in a URL."""
    return re.sub(r'[%/\\:*?"<>|\x00-\x1f]', lambda found: f"%{ord(found[0]):02X}", column)


def _gathered(trainer: Trainer, own: Any) -> list[Any]:
    """What the other ranks have, on the first one."""
    if trainer.world_size == 1:
        return []
    every: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(every, own)
    return every[1:]


def _dataset_rows(trainer: Trainer, rows: list[int]) -> list[dict[str, Any]]:
    """Rows of the test split as they are; nothing of a stream's, or of a loader's of one's own."""
    splits = getattr(getattr(trainer, "datamodule", None), "splits", {})
    split = splits.get("test")
    return [split[row] for row in rows] if isinstance(split, Dataset) else [{} for _ in rows]


def _main_column(task: Any) -> str:
    """The dataset's column that the main input reads."""
    name, entry = next(iter(task.spec["inputs"].items()))
    return str(entry.get("column", name))
