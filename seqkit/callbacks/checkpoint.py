"""Checkpoints of the best and of the last state."""

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from seqkit.callbacks.monitor import has_validation, task_monitor
from seqkit.files import atomic_write
from seqkit.upstream.lightning import training_position


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint completely or not at all.

    Lightning writes it to the system's temporary folder first. If that is on another disk, it then copies the file
    over the old checkpoint, and an interruption destroys both.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save a checkpoint; one with a remote path as Lightning does.

        Raises:
            OSError: The file cannot be written, because the disk is full, for example.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch replaces the error of a full disk by one about positions
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


class BestCheckpoint(ModelCheckpoint):
    """Keep the checkpoint with the best value of the task's ``monitor``, and the last one.

    A :class:`~lightning.pytorch.callbacks.ModelCheckpoint` that takes the metric from the task. Without a
    validation split there is no metric, and the best checkpoint is the last one. Of two equal values the later one
    is better: on a small validation split many epochs reach the same accuracy, and the first of them is the least
    trained. ``last.ckpt`` is saved after each validation and each epoch, whatever their score.

    A run that resumes keeps the best score, in the same folder and in a new one: until a checkpoint is better,
    ``best_model_path`` is the file of the interrupted run. Files of other runs are never removed or replaced.

    Args:
        dirpath: The folder; by default ``checkpoints`` in the logger's folder.
        filename: The best checkpoint's name, without ``.ckpt``.
    """

    def __init__(self, dirpath: str | None = None, filename: str = "best") -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self._resumed_from: Path | None = None
        self._validated_step = -1  # the step of the last validation

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether a value is as good as the best so far, or better, and of the current weights."""
        if trainer.global_step != self._validated_step:  # the epoch was cut short
            return False
        tied = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        return tied or super().check_monitor_top_k(trainer, current)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the metric from the task, and forget earlier checkpoints when a new fit starts."""
        watched = task_monitor(pl_module) if has_validation(trainer) else None
        monitor, mode = watched or (self.monitor, self.mode)
        if stage == "fit" and not trainer.global_step:
            # The constructor resets everything. Lightning loads the state of a checkpoint after this.
            folder = self.dirpath
            super().__init__(filename=self.filename, monitor=monitor, mode=mode)
            self.dirpath, self._validated_step = folder, -1
        self.monitor, self.mode = monitor, mode
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best checkpoint, and within an epoch the last one."""
        if not trainer.sanity_checking:
            self._validated_step = trainer.global_step
        super().on_validation_end(trainer, pl_module)
        if not training_position(trainer)[2]:
            self._save_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best checkpoint and the last one."""
        super().on_train_epoch_end(trainer, pl_module)
        self._save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, the paths, and the step of the last validation."""
        return super().state_dict() | {"validated_step": self._validated_step}

    def on_load_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],  # noqa: ARG002
    ) -> None:
        """Remember which checkpoint a fit resumes from: the best one may be beside it."""
        path = trainer.ckpt_path if trainer.state.fn == TrainerFn.FITTING else None
        self._resumed_from = None if path is None else Path(path)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the best score, if its checkpoint still exists, also in another folder."""
        if self._resumed_from is None:  # a test or a prediction
            return
        self._validated_step = state_dict.get("validated_step", -1)
        state = {**state_dict, "dirpath": self.dirpath}
        if state_dict["dirpath"] != self.dirpath:
            state["last_model_path"] = ""
        path, score = state["best_model_path"], state["best_model_score"]
        found = self._find_best(path, score, self._resumed_from)
        if path and found is None:
            rank_zero_warn(
                f"BestCheckpoint: {path!r} with the best score so far, {score}, was removed or replaced; the next "
                f"checkpoint counts as the best. Keep the file, or put it next to the checkpoint to resume from"
            )
        state |= {
            "best_model_path": found or "",
            "best_model_score": score if found else None,
            "best_k_models": {found: score} if found and score is not None else {},
            "kth_best_model_path": found if found and score is not None else "",
        }
        super().load_state_dict(state)

    def _find_best(self, path: str, score: Tensor | None, resumed_from: Path) -> str | None:
        """Return where the best checkpoint is: at its path, or next to the checkpoint to resume from."""
        if "://" in path:  # Lightning removes a remote one that is not the best any more, wherever it is
            return path if path.rpartition("/")[0] == str(self.dirpath) else None
        files = [Path(path), resumed_from.absolute().parent / Path(path).name]
        return next((str(file) for file in files if self._has_score(file, score)), None)

    def _has_score(self, file: Path, score: Tensor | None) -> bool:
        """Return whether a file is the checkpoint of a best score; a later one may have replaced it."""
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except (OSError, RuntimeError, pickle.UnpicklingError):
            return False
        own = saved.get("callbacks", {}).get(self.state_key, {})
        return "best_model_score" in own and bool(own["best_model_score"] == score)

    def _save_last(self, trainer: Trainer) -> None:
        """Save the last checkpoint, under another name if the folder has one of another run."""
        if trainer.fast_dev_run or trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:  # type: ignore[attr-defined]
            return
        version: int | None = None
        path = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST)
        while path != self.last_model_path and self.file_exists(path, trainer):
            version = self.STARTING_VERSION if version is None else version + 1
            path = self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST, version)
        self.last_model_path = path
        trainer.save_checkpoint(path, self.save_weights_only)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.after_save_checkpoint(self)
