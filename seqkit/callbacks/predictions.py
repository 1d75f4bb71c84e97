"""Predictions to a file, one line a row, in the dataset's order."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from lightning.pytorch import Callback, LightningModule, Trainer

from seqkit.batch import Batch
from seqkit.data.sources import CoNLL
from seqkit.files import atomic_write
from seqkit.tasks.base import Predictions

_CONLL = (".conll", ".conllu")


class PredictionWriter(Callback):
    """Write what ``predict_step`` returns, sorted by dataset row, as JSON lines, parquet or CoNLL.

    CoNLL (``.conll``, ``.conllu``) is the file that was read with the predicted column added, or in CoNLL-U
    replaced; see :meth:`seqkit.data.CoNLL.write`.

    Each rank writes its batches beside the file as they come; at the end the first rank puts them in order and
    renames the result, so that a file of that name is always whole. A row that the data module dropped has no line.

    Args:
        path: The file; its ending (``.jsonl``, ``.json``, ``.parquet``, ``.conll`` or ``.conllu``) says the format.

    Raises:
        ValueError: The ending is another one.
    """

    def __init__(self, path: str = "predictions.jsonl") -> None:
        self.path = Path(path)
        if self.path.suffix not in (".jsonl", ".json", ".parquet", *_CONLL):
            raise ValueError(
                f"PredictionWriter got path={path!r}; let it end in .jsonl, .json or .parquet, or, where a CoNLL "
                f"file is read, in .conll or .conllu"
            )

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start this rank's part anew.

        Raises:
            ValueError: The path says CoNLL, but no CoNLL file is read.
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
        """Add a batch to this rank's part."""
        rows, columns = outputs
        with self._part(trainer.global_rank).open("a", encoding="utf-8") as part:
            for i, row in enumerate(rows):
                line = {"row": row} | {name: values[i] for name, values in columns.items()}
                part.write(json.dumps(line, ensure_ascii=False) + "\n")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Put all parts in order and give the file its name."""
        trainer.strategy.barrier("predictions written")
        if trainer.is_global_zero:
            parts = [self._part(rank) for rank in range(trainer.world_size)]
            lines = sorted(_read(parts), key=lambda line: line["row"])
            with atomic_write(self.path) as whole:
                if self.path.suffix in _CONLL:
                    module = trainer.datamodule  # type: ignore[attr-defined]
                    column = next(iter(module.spec["targets"]))
                    module.source.write(
                        whole, module.predict_split, column, {line["row"]: line[column] for line in lines}
                    )
                elif self.path.suffix == ".parquet":
                    pq.write_table(pa.Table.from_pylist(lines), whole)
                else:
                    with whole.open("w", encoding="utf-8") as file:
                        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            for part in parts:
                part.unlink()
        trainer.strategy.barrier("predictions sorted")

    def _part(self, rank: int) -> Path:
        return self.path.with_name(f"{self.path.name}.part{rank}")


def _read(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with part.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
