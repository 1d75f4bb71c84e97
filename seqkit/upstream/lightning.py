"""Undocumented parts of Lightning."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from lightning.pytorch import Callback, Trainer

AnyCallback = TypeVar("AnyCallback", bound=Callback)


def add_callback(trainer: Trainer, callback: Callback) -> None:
    """Add a callback to a trainer.

    A data module has no hook at the start of an epoch, so it adds a callback when a run is resumed. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(callback)


@contextmanager
def epoch_limit(trainer: Trainer, epochs: int) -> Iterator[None]:
    """Set the trainer's ``max_epochs`` while the block runs.

    Lightning's learning-rate test makes a hundred steps, but stops earlier at the end of the trainer's last epoch,
    which comes too soon on a small data set. Checked with lightning 2.6.6.
    """
    before = trainer.fit_loop.max_epochs
    trainer.fit_loop.max_epochs = epochs
    try:
        yield
    finally:
        trainer.fit_loop.max_epochs = before


def find_callbacks(trainer: Trainer, kind: type[AnyCallback]) -> list[AnyCallback]:
    """Return the trainer's callbacks of a class, for what one callback reports of another.

    Lightning documents such a look-up for checkpoints, early stopping and progress bars only. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, kind)]


def finish_epoch(trainer: Trainer) -> None:
    """Count the last epoch of a checkpoint as finished, at the start of the training that it resumes.

    Two corrections to a checkpoint saved after the last batch of an epoch. Its number of batches becomes that of
    the current training loader, which differs on another number of ranks; otherwise Lightning would train the
    difference. The next epoch is started as any other: Lightning takes it for the rest of the finished one, does
    not call ``on_train_epoch_start`` and leaves its count of started epochs one behind. Checked with
    lightning 2.6.6.
    """
    loop: Any = trainer.fit_loop
    batches = loop.epoch_loop.batch_progress
    if not batches.current.processed:
        return
    batches.current.reset()
    batches.current.increment_by(int(trainer.num_training_batches))
    if loop.restarted_mid_epoch and loop.epoch_loop.restarted_on_train_batch_end and batches.is_last_batch:
        loop.reset_restart_stage()


def rebuildable(class_path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters from which ``load_from_checkpoint`` rebuilds a module and its nested parts.

    A LightningCLI saves them in this form; a module that is made in a script saves them by this function. Checked
    with lightning 2.6.6.

    Args:
        class_path: The module's class.
        arguments: Its constructor's arguments in plain types, parts as ``class_path`` and ``init_args``.
    """
    instantiator = "lightning.pytorch.cli.instantiate_module"
    return {**arguments, "_class_path": class_path, "_instantiator": instantiator}


def remove_callbacks(trainer: Trainer, kind: type[Callback]) -> None:
    """Remove the trainer's callbacks of a class.

    After a fit, Lightning's ``WeightAveraging`` would replace the weights of each checkpoint that is loaded for
    validation by those of the last step. The data module removes its own callback after a fit. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks[:] = [callback for callback in callbacks if not isinstance(callback, kind)]


def saved_arguments(hyper_parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the class path and the arguments in hyper-parameters, or None if they have another form.

    The inverse of :func:`rebuildable`. Checked with lightning 2.6.6.
    """
    if "_class_path" not in hyper_parameters or "_instantiator" not in hyper_parameters:
        return None
    arguments = {
        key: value for key, value in hyper_parameters.items() if key not in ("_class_path", "_instantiator")
    }
    return str(hyper_parameters["_class_path"]), arguments


def set_reload_interval(trainer: Trainer, epochs: int) -> int:
    """Set after how many epochs the trainer sets up its loaders again, and return the previous number.

    An epoch resumed on another number of ranks has another number of batches than the next one, and Lightning reads
    it only when it sets up the loader. Checked with lightning 2.6.6.
    """
    before: int = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
    trainer.reload_dataloaders_every_n_epochs = epochs  # type: ignore[attr-defined]
    return before


def training_position(trainer: Trainer) -> tuple[int, int]:
    """Return the last epoch that the training loop has started, and how many of its batches it has processed.

    A checkpoint of the data needs both at any moment, also in the middle of an epoch and between two epochs;
    ``Trainer.current_epoch`` changes only when an epoch's hooks are finished. Checked with lightning 2.6.6.
    """
    loop: Any = trainer.fit_loop
    epoch = max(loop.epoch_progress.current.started - 1, 0)
    return epoch, int(loop.epoch_loop.batch_progress.current.processed)
