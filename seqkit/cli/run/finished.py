"""Whether a run that is resumed has anything left to train."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn

from seqkit.cli.run.folder import run_folder


def check_steps_left(checkpoint: str, epochs: int | None, steps: int, trainer: Mapping[str, Any]) -> None:
    """Check that a fit which resumes from a checkpoint has steps to train, and warn if nothing says how many.

    Args:
        checkpoint: The path of the checkpoint.
        epochs: How many epochs of it are finished, if that is known.
        steps: How many steps it has trained.
        trainer: The options of the trainer.

    Raises:
        ValueError: It has none. Lightning would do nothing, and leave the folder of an empty run.
    """
    limits = {name: trainer[name] for name in ("max_epochs", "max_steps", "max_time")}
    if tuple(limits.values()) == (None, -1, None):
        run = run_folder(checkpoint)
        rank_zero_warn(
            f"fit takes the model and the data from {checkpoint}, but no options of the trainer, so "
            f"--trainer.max_epochs is not set; to continue with the options of that run, add --config "
            f"{'CONFIG' if run is None else run / 'config.yaml'}"
        )
    for name, done in (("max_epochs", epochs), ("max_steps", steps)):
        if done is not None and limits[name] is not None and -1 < limits[name] <= done:
            raise ValueError(
                f"{checkpoint} is of a fit that is finished: it has trained {done} {name.removeprefix('max_')}; to "
                f"train more, raise --trainer.{name}, which is {limits[name]}"
            )
