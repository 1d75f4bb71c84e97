"""A Lightning module that its checkpoint rebuilds, with nothing but the classes that may be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self, cast

from lightning.pytorch import LightningModule

from seqkit.class_paths import allow, public_path
from seqkit.tasks.checkpoints.config import as_config, given_arguments
from seqkit.tasks.checkpoints.loading import read_checkpoint, saved_model
from seqkit.tasks.checkpoints.parts import build_arguments
from seqkit.upstream.lightning import load_model, rebuildable, saved_arguments


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
        built = cls.rebuilt_arguments(found, spec, saved, arguments, trust)
        return cast(Self, load_model(found, checkpoint, built, strict))

    @classmethod
    def rebuilt_arguments(
        cls,
        found: type,
        spec: dict[str, Any],
        saved: dict[str, Any],
        given: dict[str, Any],
        trust: str | Sequence[str],
        *,
        kind: str = "checkpoint",
    ) -> dict[str, Any]:
        """Return the arguments that rebuild a saved model, its parts built.

        Args:
            found: The class of the model, which must be this class or a subclass.
            spec: Its checked spec.
            saved: Its other arguments, as the file has them; they are checked before anything is built.
            given: Arguments that replace them.
            trust: Names of modules whose classes may be used.
            kind: What holds the model, for errors.

        Raises:
            ValueError: The model is of another class, or an argument is not what its place expects.
        """
        if not issubclass(found, cls):
            raise ValueError(other_task(public_path(found), public_path(cls), kind))
        saved = {name: value for name, value in saved.items() if name not in given}
        return build_arguments(found, saved, trust=trust, place="model") | {"spec": spec} | given

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


def other_task(saved: str, own: str, kind: str = "checkpoint") -> str:
    """Return the error for a checkpoint, or another kind of saved model, of another task."""
    return f"the {kind} is one of {saved}, but the model is {own}; load it with {saved}"
