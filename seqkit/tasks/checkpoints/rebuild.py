"""A Lightning module that its checkpoint rebuilds, with nothing but the classes that may be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

from lightning.pytorch import LightningModule

from seqkit.class_paths import allow, public_path
from seqkit.tasks.checkpoints.config import as_config, given_arguments
from seqkit.tasks.checkpoints.loading import read_checkpoint, saved_model
from seqkit.tasks.checkpoints.parts import build_arguments
from seqkit.upstream.lightning import load_model, rebuildable, saved_arguments

if TYPE_CHECKING:
    from seqkit.tasks.module import SequenceModule


class RebuildableModule(LightningModule):
    """Keeps the arguments of its constructor in its checkpoints, as plain types."""

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        *,
        trust: str | Sequence[str] = (),
        **arguments: Any,
    ) -> Self:
        """Rebuild a model from a checkpoint.

        A checkpoint names classes. Those of seqkit, ``torch.nn``, ``torch.optim`` and torchmetrics are used, and
        those that this program has given to a task or a data module; classes of other modules could do anything, so
        they need consent.

        Args:
            checkpoint_path: The path, the URL or the open file.
            map_location: As in :func:`torch.load`; by default the devices of the checkpoint, where they exist.
            hparams_file: Not used: the checkpoint holds all arguments.
            strict: Whether the names of all weights must fit; by default they must.
            weights_only: Whether to refuse everything but tensors and plain types; by default it is refused.
            trust: Names of modules whose classes may be used, such as ``my_project``.
            arguments: Arguments of the constructor that replace those of the checkpoint.

        Raises:
            ValueError: The file is no checkpoint, or names a class that may not be used.
        """
        if hparams_file is not None:
            raise ValueError("hparams_file is not read; give the arguments that differ by name")
        allow(cls)
        checkpoint = read_checkpoint(checkpoint_path, map_location, weights_only=weights_only is not False)
        found, spec, saved = saved_model(checkpoint, RebuildableModule, trust)
        if not issubclass(found, cls):
            raise ValueError(other_task(public_path(found), public_path(cls)))
        saved = {name: value for name, value in saved.items() if name not in arguments}
        built = build_arguments(found, saved, trust=trust, place="model")
        return load_model(found, checkpoint, {"spec": spec} | built | arguments, strict)

    def save_plain_hyperparameters(self) -> None:
        """Save the constructor's arguments as plain types, in the form from which Lightning rebuilds nested parts.

        The LightningCLI passes this form itself; in a script the parts are classes and partials.
        """
        self.save_hyperparameters(logger=False)
        if saved_arguments(self.hparams) is not None:
            return
        plain = {name: as_config(name, value) for name, value in given_arguments(self).items()}
        self.hparams.clear()
        self.hparams.update(rebuildable(public_path(type(self)), plain))


def other_task(saved: str, own: str) -> str:
    """Return the error for a checkpoint of another task."""
    return f"the checkpoint is one of {saved}, but the model is {own}; load it with {saved}"


def load(
    path: str | Path | IO[bytes], *, map_location: Any = None, trust: str | Sequence[str] = ()
) -> "SequenceModule":
    """Rebuild a model of any task from a checkpoint; ``load_from_checkpoint`` of a task takes further options.

    Args:
        path: The path, the URL or the open file.
        map_location: As in :func:`torch.load`; by default the devices of the checkpoint, where they exist.
        trust: Names of modules whose classes may be used, such as ``my_project``.

    Raises:
        ValueError: The file is no checkpoint, or names a class that may not be used.
    """
    return cast("SequenceModule", RebuildableModule.load_from_checkpoint(path, map_location, trust=trust))
