"""Write predictions to a file, one line per row, in the dataset's order."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from seqkit.batch import Batch
from seqkit.data import CoNLL
from seqkit.files import atomic_write, check_not_read, clear_write_errors, new_folders, private_folder, remove_empty
from seqkit.tasks import Predictions

T = TypeVar("T")

_CONLL = (".conll", ".conllu")


class PredictionWriter(Callback):
    """Write what ``predict_step`` returns, sorted by dataset row, as JSON lines, parquet or CoNLL.

    A CoNLL file (``.conll``, ``.conllu``) is the file that was read with the predicted column of each target added,
    in their order, or replaced in CoNLL-U; see :meth:`seqkit.data.CoNLL.write`.

    Each rank appends its batches to a temporary file in a folder that only this run uses. At the end the first rank
    sorts all rows and renames the result, so a file of the given name is always complete, even if two runs write
    it. A row that the data module dropped has no line.

    A line has the number of a row as ``row``, and the columns that the task's ``predict`` gives for it.

    Args:
        path: The file; its suffix (``.jsonl``, ``.json``, ``.parquet``, ``.conll`` or ``.conllu``) is the format.
            By default ``predictions.jsonl``, on the command line in the run of the checkpoint.
        scores: Whether to add the probabilities of labels.

    Raises:
        ValueError: The suffix is another one.
    """

    def __init__(self, path: str | None = None, scores: bool = False) -> None:
        self.path = Path("predictions.jsonl" if path is None else path)
        self.scores = scores
        self._parts: Path | None = None
        self._new_folders: list[Path] = []
        if self.path.suffix not in (".jsonl", ".json", ".parquet", *_CONLL):
            raise ValueError(
                f"PredictionWriter got path={path!r}; let it end in .jsonl, .json or .parquet, or, where a CoNLL "
                f"file is read, in .conll or .conllu"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the folder of the temporary files, and ask the model for scores.

        Raises:
            ValueError: The format is CoNLL, but the data's source is not, or a target is not one label per token;
                or the file is one that the source reads; or the model has no scores.
            OSError: The file cannot be written there.
        """
        source = getattr(trainer.datamodule, "source", None)  # type: ignore[attr-defined]
        if self.path.suffix in _CONLL and not isinstance(source, CoNLL):
            raise ValueError(
                f"PredictionWriter got path={str(self.path)!r}, but the data's source is {type(source).__name__}, "
                f"not CoNLL; let it end in .jsonl, .json or .parquet"
            )
        if self.path.suffix in _CONLL:
            targets = trainer.datamodule.spec["targets"]  # type: ignore[attr-defined]
            others = [
                f"target {column!r} is a {target['kind']} per {target['per']}"
                for column, target in targets.items()
                if (target["kind"], target["per"]) != ("class", "token")
            ]
            if others or not targets:
                reason = others[0] if others else "the data has no target"
                raise ValueError(
                    f"PredictionWriter got path={str(self.path)!r}, but {reason}, "
                    f"and a CoNLL file has one label for each token; let it end in .jsonl, .json or .parquet"
                )
        check_not_read(self.path, source)
        if self.scores:
            _ask_for_scores(pl_module)
        self._new_folders = new_folders(self.path.parent)
        self._parts = _on_first_rank(trainer, lambda: private_folder(self.path))

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Predictions,
        batch: Batch,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """Append a batch to this rank's temporary file."""
        rows, columns = outputs
        lines = [{"row": row} | {name: values[i] for name, values in columns.items()} for i, row in enumerate(rows)]
        part = cast(Path, self._parts) / f"rank{trainer.global_rank}.jsonl"
        with clear_write_errors(self.path), part.open("a", encoding="utf-8") as file:
            file.writelines(_json_lines(lines))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sort the rows of all ranks and write the file."""
        trainer.strategy.barrier("predictions written")
        _on_first_rank(trainer, lambda: self._join(trainer.datamodule))  # type: ignore[attr-defined]
        self._end(pl_module)
        self._new_folders = []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Remove the temporary files of an interrupted run, and the folders that it created for the file."""
        self._end(pl_module)
        remove_empty(self._new_folders)
        self._new_folders = []

    def _end(self, pl_module: LightningModule) -> None:
        if self.scores:
            vars(pl_module).pop("predict_step", None)
        if self._parts is not None:
            shutil.rmtree(self._parts, ignore_errors=True)
            self._parts = None

    def _join(self, datamodule: Any) -> None:
        parts = cast(Path, self._parts).iterdir()  # a rank without a batch has none
        lines = sorted(_read(parts), key=lambda line: line["row"])
        with atomic_write(self.path) as temporary:
            self._write(lines, temporary, datamodule)
        rank_zero_info(f"predictions of {len(lines)} rows: {self.path}")

    def _write(self, lines: list[dict[str, Any]], path: Path, datamodule: Any) -> None:
        if self.path.suffix in _CONLL:
            columns = list(datamodule.spec["targets"])
            predicted = {line["row"]: list(zip(*map(line.get, columns), strict=True)) for line in lines}
            datamodule.source.write(path, datamodule.predict_split, columns, predicted)
        elif self.path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(lines), path)
        else:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(_json_lines(lines))


def _ask_for_scores(module: LightningModule) -> None:
    """Let Lightning, which knows no such argument, call the step with it, until the step is removed again."""
    step: Any = module.predict_step
    if "scores" not in signature(step).parameters:
        raise ValueError(
            f"PredictionWriter got scores=True, but predict_step of {type(module).__name__} has no argument "
            f"`scores`; give it one, or leave the scores out"
        )
    vars(module)["predict_step"] = partial(step, scores=True)


def _on_first_rank(trainer: Trainer, action: Callable[[], T]) -> T:
    """Return what an action returns on the first rank; if it raises an error, every rank raises it."""
    outcome: Any = None
    if trainer.is_global_zero:
        try:
            outcome = action()
        except Exception as error:
            outcome = error
    outcome = trainer.strategy.broadcast(outcome)
    if isinstance(outcome, Exception):
        raise outcome
    return cast(T, outcome)


def _json_lines(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _read(parts: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with part.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
