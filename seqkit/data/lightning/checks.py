"""Checks of the data module's options."""

from lightning.pytorch import Trainer


def check_train_stream(needs_all_rows: bool, trainer: Trainer | None) -> None:
    """Check that training can read a stream.

    Args:
        needs_all_rows: Whether one of the data module's options needs all rows at once.
        trainer: The trainer, if there is one.

    Raises:
        ValueError: There is such an option, or the trainer's ``overfit_batches`` is set.
    """
    if needs_all_rows:
        raise ValueError(
            "weights, batch_multiple, longest_first and continuous need all rows at once, but train is a stream; "
            "leave them out, or load it (streaming=False)"
        )
    if trainer is not None and trainer.overfit_batches:  # type: ignore[attr-defined]
        raise ValueError(
            "overfit_batches needs the same batches in every epoch, but train is a stream; take its first rows "
            "(dataset.take), or load it (streaming=False)"
        )
