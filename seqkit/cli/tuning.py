"""Which learning rate, and how large a batch: tried out on a config's own model and data."""

import copy
import time
from pathlib import Path
from typing import Any

import torch
from datasets import IterableDataset
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.tuner.tuning import Tuner
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data.lightning.datamodule import SequenceDataModule
from seqkit.data.lightning.loaders import as_it_is
from seqkit.figures import new_figure
from seqkit.files import atomic_write
from seqkit.tasks.module import SequenceModule

_EPOCHS = 1000  # of a learning rate's test, which ends after a hundred steps
_STEPS = 3  # of each trial of a budget; the first one warms up


def find_lr(trainer: Trainer, model: LightningModule, data: SequenceDataModule, picture: Path) -> float:
    """Raise the learning rate step by step, print the one at which the loss falls fastest, and draw the curve.

    The range test of Smith (2017, https://arxiv.org/abs/1506.01186) by Lightning's
    :class:`~lightning.pytorch.tuner.Tuner`, on the batches of the data's own plan. The model stays as it was.

    Args:
        trainer: A trainer that has not run.
        model: The model.
        data: The data.
        picture: The file to draw; its ending says the format, such as ``.png``.

    Returns:
        The learning rate.

    Raises:
        ValueError: The loss fell at no learning rate.
    """
    epochs = trainer.fit_loop.max_epochs
    trainer.fit_loop.max_epochs = _EPOCHS  # of a small set, a config's few hold fewer steps than the test takes
    try:
        found = Tuner(trainer).lr_find(model, datamodule=data, update_attr=False)
    finally:
        trainer.fit_loop.max_epochs = epochs
    rate = None if found is None else found.suggestion()
    if found is None or rate is None:
        raise ValueError(
            "find_lr: the loss fell at no learning rate; does the model learn, and are there batches enough?"
        )
    Console().print(f"learning rate {rate:.2e}")
    rates, losses = found.results["lr"], found.results["loss"]
    figure = new_figure(7.0, 4.5)
    axes = figure.add_subplot()
    axes.plot(rates, losses, color="#2563a8")
    axes.axvline(rate, color="#c2410c", linewidth=1.2, label=f"{rate:.2e}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss, smoothed")
    axes.legend(frameon=False)
    with atomic_write(picture) as whole:
        figure.savefig(whole)
    return float(rate)


def find_max_tokens(
    trainer: Trainer, model: SequenceModule, data: SequenceDataModule, seconds: float = 10.0, most: int = 1 << 22
) -> list[dict[str, Any]]:
    """Double the budget of tokens until a step no longer fits, and print what each budget takes.

    Every budget is tried on the heaviest batch that its plan can give, the one that ``longest_first`` begins with:
    what fits there fits in the whole fit. Each trial trains a copy of the model for three steps.

    Args:
        trainer: Says the device and the precision.
        model: The model; it stays as it was.
        data: The data; the first budget is its ``max_tokens``.
        seconds: The longest that a step may take.
        most: The largest budget to try.

    Returns:
        By budget that was tried: ``max_tokens``, the heaviest batch's ``sequences``, ``longest`` and ``tokens``,
        the ``seconds`` of a step, ``tokens/s``, on a GPU the peak ``memory`` in bytes, and whether it ``fits``.

    Raises:
        ValueError: The data has no ``max_tokens``, is continuous text or comes as a stream.
    """
    if data.continuous is not None:
        raise ValueError(
            "find_max_tokens tries budgets of rows, but continuous text has none: its batches hold streams x steps "
            "tokens; set those of data.continuous"
        )
    if isinstance(data.splits.get("train"), IterableDataset):
        raise ValueError(
            "find_max_tokens tries the heaviest batch of all rows, which a stream does not tell; try it on a part "
            "of the rows with streaming=False"
        )
    if data.max_tokens is None:
        raise ValueError(
            "find_max_tokens doubles the budget of tokens, but the data has none; give data.max_tokens"
        )
    found: list[dict[str, Any]] = []
    budget = data.max_tokens
    while budget <= most:
        batch, whole = _heaviest(data, budget)
        found.append({"max_tokens": budget} | _tried(trainer, model, batch))
        last = found[-1]
        last["fits"] = last["seconds"] is not None and last["seconds"] <= seconds
        if not last["fits"] or whole:
            break
        budget *= 2
    Console().print(_table(found))
    return found


def _heaviest(data: SequenceDataModule, budget: int) -> tuple[Batch, bool]:
    """The heaviest batch under a budget, and whether it holds all rows."""
    trial = copy.copy(data)
    trial.max_tokens, trial.longest_first = budget, True
    rows = trial.rows("train", training=True)
    sampler = trial.sampler(rows, training=True, alone=True)
    batch = rows[next(iter(sampler))]
    return batch, len(sampler) == 1


def _tried(trainer: Trainer, model: SequenceModule, batch: Batch) -> dict[str, Any]:
    """What some steps on a batch take; no seconds where memory ran out."""
    main = next(iter(batch.inputs.values()))
    result: dict[str, Any] = {
        "sequences": len(batch.rows),
        "longest": len(main.batch_sizes),
        "tokens": int(main.batch_sizes.sum()),
        "seconds": None,
        "tokens/s": None,
        "memory": None,
    }
    device = trainer.strategy.root_device
    on_gpu = device.type == "cuda"
    model = copy.deepcopy(model)
    model._lr_scheduler = None  # its warm-up may be longer than a trial
    clock = _Clock()
    runner = Trainer(
        accelerator="gpu" if on_gpu else device.type,
        devices=[device.index or 0] if on_gpu else 1,
        precision=trainer.precision,
        max_steps=_STEPS,
        limit_val_batches=0,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    loader: Any = DataLoader([batch] * _STEPS, batch_size=None, collate_fn=as_it_is)  # type: ignore[arg-type]
    try:
        runner.fit(model, loader, loader)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "memory" not in str(error):
            raise
        return result
    result["seconds"] = min(clock.seconds[1:])
    result["tokens/s"] = result["tokens"] / result["seconds"]
    result["memory"] = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return result


class _Clock(Callback):
    """The seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begin = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        _wait(trainer)
        self._begin = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        _wait(trainer)
        self.seconds.append(time.perf_counter() - self._begin)


def _wait(trainer: Trainer) -> None:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()


def _table(found: list[dict[str, Any]]) -> Table:
    made = Table(title="the heaviest batch of each budget")
    for name in ("max_tokens", "sequences", "longest", "tokens", "s a step", "tokens/s", "memory", ""):
        made.add_column(name, justify="right")
    for row in found:
        taken = ["-", "-"] if row["seconds"] is None else [f"{row['seconds']:.3f}", f"{row['tokens/s']:,.0f}"]
        memory = "-" if row["memory"] is None else f"{row['memory'] / 2**30:.2f} GiB"
        counts = (f"{row[name]:,}" for name in ("max_tokens", "sequences", "longest", "tokens"))
        made.add_row(*counts, *taken, memory, "" if row["fits"] else "too much")
    fitting = [row for row in found if row["fits"]]
    if fitting:
        fastest = max(fitting, key=lambda row: row["tokens/s"])
        made.caption = f"fits: {fitting[-1]['max_tokens']:,}; most tokens a second: {fastest['max_tokens']:,}"
    return made
