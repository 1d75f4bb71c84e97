"""Undocumented parts of Lightning."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.core.saving import _default_map_location, _load_state
from torch import Tensor

AnyCallback = TypeVar("AnyCallback", bound=Callback)
AnyModule = TypeVar("AnyModule", bound=LightningModule)

_ARGUMENT_KEYS = ("hyper_parameters", "hparams", "module_arguments", "hparams_name", "hparams_type")
_INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"


def add_callback(trainer: Trainer, callback: Callback) -> None:
    """Add a callback to a trainer.

    A data module has no hook at the start of an epoch, so it adds a callback when a run is resumed. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(callback)


def bar_reads_each_step(trainer: Trainer | None) -> bool:
    """Return whether the trainer has a progress bar that reads after each step the values that are logged for it.

    Lightning reads a value that is logged with ``prog_bar=True`` after each step, also without a bar: the host
    waits for the device. A bar that reads values when it needs them has an attribute ``reads_each_step`` that is
    False. Checked with lightning 2.6.6.
    """
    bar = None if trainer is None else trainer.progress_bar_callback
    return bar is not None and getattr(bar, "reads_each_step", True)


def default_map_location(storage: Any, location: str) -> Any:
    """Map storages of devices that are not here to the CPU, and leave others, for :func:`torch.load`.

    It is what ``load_from_checkpoint`` does without ``map_location``. Checked with lightning 2.6.6.
    """
    return _default_map_location(storage, location)


def dump_config(cli: LightningCLI) -> None:
    """Write the parsed config as plain types, from which Lightning takes a model's hyper-parameters.

    Lightning does it once, when the first class is instantiated; what is changed in the config after this call is
    not in the dump. Checked with lightning 2.6.6.
    """
    cli._dump_config()


def find_callbacks(trainer: Trainer, kind: type[AnyCallback]) -> list[AnyCallback]:
    """Return the trainer's callbacks of a class, for what one callback reports of another.

    Lightning documents such a look-up for checkpoints, early stopping and progress bars only. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, kind)]


def correct_progress(checkpoint: dict[str, Any], *, finished: bool) -> bool:
    """Correct the loops' counters in a checkpoint, before Lightning loads them.

    Lightning counts an epoch that ``max_steps`` or ``should_stop`` cut short as over, and would skip the rest of
    it. From the counters of a checkpoint saved in ``on_train_batch_end``, it would skip the validation that follows
    and the end of the epoch. From those of one saved in ``on_train_epoch_end``, a trainer with ``max_steps`` would
    end the epoch a second time. Checked with lightning 2.6.6.

    Args:
        checkpoint: Changed in place.
        finished: Whether all batches of the last started epoch are processed.

    Returns:
        Whether what follows a batch is still to do: see :func:`continue_epoch`.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epoch, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    validation = loops["epoch_loop.val_loop.batch_progress"]["current"]
    now = batches["current"]
    if not now["processed"]:
        return False
    pending = now["completed"] < now["processed"] or validation["completed"] < validation["ready"]
    over = epoch["current"]["processed"] == epoch["current"]["started"]
    for kind in ("current", "total"):
        batches[kind]["completed"] = batches[kind]["processed"]
        if over:
            epoch[kind]["processed"] -= not finished
            epoch[kind]["completed"] = epoch[kind]["processed"]
    if over and finished:
        batches["is_last_batch"] = False
        now.update(dict.fromkeys(now, 0))
        validation.update(dict.fromkeys(validation, 0))
    return pending and not over


def continue_epoch(trainer: Trainer, *, pending: bool, finished: bool) -> None:
    """Let the loops do what follows the last batch of a checkpoint, at the start of the training that it resumes.

    That is a validation, if one is due, and the end of the epoch with all its schedules. The number of batches of a
    finished epoch becomes that of the current training loader, which differs on another number of ranks; otherwise
    Lightning would train the difference. Checked with lightning 2.6.6.

    Args:
        trainer: The trainer, in ``on_train_start``.
        pending: The result of :func:`correct_progress`.
        finished: Whether all batches of the epoch are processed.
    """
    loop: Any = trainer.fit_loop
    epoch_loop = loop.epoch_loop
    loop._restarting = False  # otherwise no schedule that watches a metric is stepped at the end of the epoch
    if not loop.restarted_mid_epoch:
        return
    batches, validation = epoch_loop.batch_progress, epoch_loop.val_loop
    if finished and trainer.num_training_batches != float("inf"):
        batches.current.reset()
        batches.current.increment_by(int(trainer.num_training_batches))
    due = epoch_loop._should_check_val_fx(loop._data_fetcher)
    if pending and due:
        validation.batch_progress.current.reset()
        validation._restart_stage = "restarted_mid_evaluation"
    elif pending:
        epoch_loop.on_advance_end(loop._data_fetcher)
    if finished and not due:
        validation._has_run = True  # there is nothing left to do before the end of the epoch


def end_resumed_epoch(trainer: Trainer) -> None:
    """Let the next epoch start as any other; in ``on_train_epoch_end`` of the resumed epoch.

    If nothing was left to do in that epoch, Lightning would take the next one for its rest. Checked with
    lightning 2.6.6.
    """
    trainer.fit_loop.epoch_loop.on_iteration_done()


def end_epoch_schedules(trainer: Trainer) -> None:
    """Step the schedules that watch a metric, as Lightning does after ``on_train_epoch_end``.

    A checkpoint saved in that hook lacks this step. Checked with lightning 2.6.6.
    """
    loop: Any = trainer.fit_loop
    loop.epoch_progress.current.completed -= 1  # the schedules' frequency counts from the current epoch
    loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
    loop.epoch_progress.current.completed += 1


def load_model(
    cls: type[AnyModule], checkpoint: Mapping[str, Any], arguments: dict[str, Any], strict: bool | None
) -> AnyModule:
    """Build a model from its arguments and load its state, as the second half of ``load_from_checkpoint`` does.

    The first half would build the arguments from the names in the checkpoint. Checked with lightning 2.6.6.

    Args:
        cls: The model's class.
        checkpoint: The checkpoint.
        arguments: The arguments of the constructor; those in the checkpoint are not read.
        strict: Whether the names of the weights must fit; None for what the model says.
    """
    kept = {key: value for key, value in checkpoint.items() if key not in _ARGUMENT_KEYS}
    model = cast(AnyModule, _load_state(cls, kept | {"hyper_parameters": arguments}, strict=strict))
    tensors = [value for value in checkpoint["state_dict"].values() if isinstance(value, Tensor)]
    return model.to(tensors[0].device) if tensors else model


def logged_batch(trainer: Trainer | None) -> Any:
    """Return the batch whose values the trainer logs now, or None between batches and without a trainer.

    Lightning weighs a value that is logged without ``batch_size`` by the length of the first tensor that it finds
    in this batch. Checked with lightning 2.6.6.
    """
    return getattr(getattr(trainer, "_results", None), "batch", None)


def rebuildable(class_path: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyper-parameters from which ``load_from_checkpoint`` rebuilds a module and its nested parts.

    A LightningCLI saves them in this form; a module that is made in a script saves them by this function. Checked
    with lightning 2.6.6.

    Args:
        class_path: The module's class.
        arguments: Its constructor's arguments in plain types, parts as ``class_path`` and ``init_args``.
    """
    return {**arguments, "_class_path": class_path, "_instantiator": _INSTANTIATOR}


def remove_callbacks(trainer: Trainer, kind: type[Callback]) -> None:
    """Remove the trainer's callbacks of a class.

    After a fit, Lightning's ``WeightAveraging`` would replace the weights of each checkpoint that is loaded for
    validation by those of the last step. The data module removes its own callback after a fit. Checked with
    lightning 2.6.6.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks[:] = [callback for callback in callbacks if not isinstance(callback, kind)]


def replace_results_table(trainer: Trainer) -> bool:
    """Turn off the table that Lightning prints after a validation or a test, and return whether it was on.

    It has a row for each value, also for those of each class. ``validate`` and ``test`` set it again on each call.
    Checked with lightning 2.6.6.
    """
    loop: Any = trainer.test_loop if trainer.testing else trainer.validate_loop
    before, loop.verbose = bool(loop.verbose), False
    return before


def saved_arguments(hyper_parameters: Any) -> tuple[str, dict[str, Any]] | None:
    """Return the class path and the arguments in hyper-parameters, or None if they have another form.

    The inverse of :func:`rebuildable`; another instantiator is another form. Checked with lightning 2.6.6.
    """
    if not isinstance(hyper_parameters, Mapping) or hyper_parameters.get("_instantiator") != _INSTANTIATOR:
        return None
    if "_class_path" not in hyper_parameters:
        return None
    arguments = {
        key: value for key, value in hyper_parameters.items() if key not in ("_class_path", "_instantiator")
    }
    return hyper_parameters["_class_path"], arguments


def saved_progress(checkpoint: dict[str, Any]) -> tuple[int, bool]:
    """Return the processed batches of a checkpoint's last started epoch, and whether it was saved at its end.

    That is in ``on_train_epoch_end``, after which Lightning steps some schedules. Checked with lightning 2.6.6.
    """
    loops = checkpoint["loops"]["fit_loop"]
    epoch = loops["epoch_progress"]["current"]
    batches = int(loops["epoch_loop.batch_progress"]["current"]["processed"])
    return batches, epoch["completed"] < epoch["processed"]


def set_reload_interval(trainer: Trainer, epochs: int) -> int:
    """Set after how many epochs the trainer sets up its loaders again, and return the previous number.

    An epoch resumed on another number of ranks has another number of batches than the next one, and Lightning reads
    it only when it sets up the loader. Checked with lightning 2.6.6.
    """
    before: int = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]
    trainer.reload_dataloaders_every_n_epochs = epochs  # type: ignore[attr-defined]
    return before


def training_position(trainer: Trainer) -> tuple[int, int, bool]:
    """Return the last epoch that the training loop has started, its processed batches, and whether these are all.

    A checkpoint of the data needs them at any moment, also in the middle of an epoch and between two epochs;
    ``Trainer.current_epoch`` changes only when an epoch's hooks are finished. Checked with lightning 2.6.6.
    """
    loop: Any = trainer.fit_loop
    epoch, batches = max(loop.epoch_progress.current.started - 1, 0), loop.epoch_loop.batch_progress
    processed = int(batches.current.processed)
    return epoch, processed, bool(batches.is_last_batch and batches.current.ready == processed)
