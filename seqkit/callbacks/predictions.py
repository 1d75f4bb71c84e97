"""Write predictions to a file, one line per row, in the dataset's order."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lightning.pytorch import Callback, LightningModule, Trainer

from seqkit.batch import Batch
from seqkit.data import CoNLL
from seqkit.files import atomic_write
from seqkit.tasks import Predictions

_CONLL = (".conll", ".conllu")


class PredictionWriter(Callback):
    """Write what ``predict_step`` returns, sorted by dataset row, as JSON lines, parquet or CoNLL.

    A CoNLL file (``.conll``, ``.conllu``) is the file that was read with the predicted column added, or replaced in
    CoNLL-U; see :meth:`seqkit.data.CoNLL.write`.

    Each rank appends its batches to a temporary file. At the end the first rank sorts all rows and renames the
    result, so a file of the given name is always complete. A row that the data module dropped has no line.

    Args:
        path: The file; its suffix (``.jsonl``, ``.json``, ``.parquet``, ``.conll`` or ``.conllu``) is the format.

    Raises:
        ValueError: The suffix is another one.
    """

    def __init__(self, path: str = "predictions.jsonl") -> None:
        self.path = Path(path)
        if self.path.suffix not in (".jsonl", ".json", ".parquet", *_CONLL):
            raise ValueError(
                f"PredictionWriter got path={path!r}; let it end in .jsonl, .json or .parquet, or, where a CoNLL "
                f"file is read, in .conll or .conllu"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Empty this rank's temporary file.

        Raises:
            ValueError: The format is CoNLL, but the data's source is not.
        """
        source = getattr(trainer.datamodule, "source", None)  # type: ignore[attr-defined]
        if self.path.suffix in _CONLL and not isinstance(source, CoNLL):
            raise ValueError(
                f"PredictionWriter got path={str(self.path)!r}, but the data's source is {type(source).__name__}, "
                f"not CoNLL; let it end in .jsonl, .json or .parquet"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part(trainer.global_rank).write_text("")

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
        with self._part(trainer.global_rank).open("a", encoding="utf-8") as part:
            part.writelines(_json_lines(lines))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Sort the rows of all ranks and write the file."""
        trainer.strategy.barrier("predictions written")
        if trainer.is_global_zero:
            parts = [self._part(rank) for rank in range(trainer.world_size)]
            lines = sorted(_read(parts), key=lambda line: line["row"])
            with atomic_write(self.path) as temporary:
                self._write(lines, temporary, trainer.datamodule)  # type: ignore[attr-defined]
            for part in parts:
                part.unlink()
        trainer.strategy.barrier("predictions sorted")

    def _write(self, lines: list[dict[str, Any]], path: Path, datamodule: Any) -> None:
        if self.path.suffix in _CONLL:
            column = next(iter(datamodule.spec["targets"]))
            predicted = {line["row"]: line[column] for line in lines}
            datamodule.source.write(path, datamodule.predict_split, column, predicted)
        elif self.path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(lines), path)
        else:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(_json_lines(lines))

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f"{self.path.name}.part{rank}")


def _json_lines(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    return (json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _read(parts: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with part.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
