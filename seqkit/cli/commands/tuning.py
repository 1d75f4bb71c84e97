"""Find a token budget for a model and its data."""

import copy
import time
from typing import Any

import torch
from datasets import IterableDataset
from lightning.pytorch import Callback, Trainer
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.data.lightning import SequenceDataModule
from seqkit.data.lightning.loaders import identity
from seqkit.tasks import SequenceModule

_STEPS = 3  # of each trial of a budget; the first one warms up


def find_max_tokens(
    trainer: Trainer, model: SequenceModule, data: SequenceDataModule, seconds: float = 10.0, most: int = 1 << 22
) -> list[dict[str, Any]]:
    """Double the token budget until a step no longer fits, and print the time and memory of each budget.

    Each trial trains a copy of the model for three steps on the heaviest batch of the budget's plan, the batch with
    which ``longest_first`` starts. If it fits, so does every batch of a fit.

    Args:
        trainer: Gives the device and the precision.
        model: The model; it is not changed.
        data: The data; the first budget is its ``max_tokens``.
        seconds: The longest time that a step may take.
        most: The largest budget to try.

    Returns:
        For each budget: ``max_tokens``, the heaviest batch's ``sequences``, ``longest`` and ``tokens``, the
        ``seconds`` of a step, ``tokens/s``, the peak ``memory`` in bytes on a GPU, and whether it ``fits``.

    Raises:
        ValueError: The data has no ``max_tokens``, is continuous text or is a stream.
    """
    if data.continuous is not None:
        raise ValueError(
            "find_max_tokens tries budgets of rows, but continuous text has none: its batches hold batch_size x "
            "bptt tokens; set those of data.continuous"
        )
    if isinstance(data.splits.get("train"), IterableDataset):
        raise ValueError(
            "find_max_tokens tries the heaviest batch of all rows, which is unknown for a stream; try it on a part "
            "of the rows with streaming=False"
        )
    if data.max_tokens is None:
        raise ValueError("find_max_tokens doubles the token budget, but the data has none; give data.max_tokens")
    trials: list[dict[str, Any]] = []
    budget = data.max_tokens
    while budget <= most:
        batch, holds_all_rows = _heaviest_batch(data, budget)
        trial = {"max_tokens": budget} | _try_batch(trainer, model, batch)
        trial["fits"] = trial["seconds"] is not None and trial["seconds"] <= seconds
        trials.append(trial)
        if not trial["fits"] or holds_all_rows:
            break
        budget *= 2
    Console().print(_table(trials))
    return trials


def _heaviest_batch(data: SequenceDataModule, budget: int) -> tuple[Batch, bool]:
    """Return the heaviest batch of a budget, and whether it holds all rows."""
    data = copy.copy(data)
    data.max_tokens, data.longest_first = budget, True
    rows = data.rows("train", training=True)
    sampler = data.sampler(rows, training=True, single_rank=True)
    return rows[next(iter(sampler))], len(sampler) == 1


def _try_batch(trainer: Trainer, model: SequenceModule, batch: Batch) -> dict[str, Any]:
    """Train a copy of the model on one batch; ``seconds`` is None if memory ran out."""
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
    model.lr_scheduler = None  # its warm-up may be longer than a trial
    clock = _Clock()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    loader: Any = DataLoader([batch] * _STEPS, batch_size=None, collate_fn=identity)  # type: ignore[arg-type]
    try:
        trial_trainer(trainer, _STEPS, clock).fit(model, loader, loader)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return result
    result["seconds"] = min(clock.seconds[1:])
    result["tokens/s"] = result["tokens"] / result["seconds"]
    result["memory"] = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return result


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has no type of error for this on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator: " in str(error)


class _Clock(Callback):
    """Measures the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        _synchronize(trainer)
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        _synchronize(trainer)
        self.seconds.append(time.perf_counter() - self._start)


def _synchronize(trainer: Trainer) -> None:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize()


def _table(trials: list[dict[str, Any]]) -> Table:
    table = Table(title="the heaviest batch of each budget")
    for name in ("max_tokens", "sequences", "longest", "tokens", "s a step", "tokens/s", "memory", ""):
        table.add_column(name, justify="right")
    for trial in trials:
        counts = (f"{trial[name]:,}" for name in ("max_tokens", "sequences", "longest", "tokens"))
        speed = ["-", "-"] if trial["seconds"] is None else [f"{trial['seconds']:.3f}", f"{trial['tokens/s']:,.0f}"]
        memory = "-" if trial["memory"] is None else f"{trial['memory'] / 2**30:.2f} GiB"
        table.add_row(*counts, *speed, memory, "" if trial["fits"] else "too much")
    fitting = [trial for trial in trials if trial["fits"]]
    if fitting:
        fastest = max(fitting, key=lambda trial: trial["tokens/s"])
        table.caption = f"fits: {fitting[-1]['max_tokens']:,}; most tokens a second: {fastest['max_tokens']:,}"
    return table


def trial_trainer(trainer: Trainer, steps: int, callback: Callback, **options: Any) -> Trainer:
    """Create a trainer for a few steps on one device, which validates nothing, writes nothing and has no bar.

    Args:
        trainer: Gives the device, the precision and the clipping of gradients.
        steps: The number of steps.
        callback: Watches the steps.
        options: More options of the new trainer.
    """
    device = trainer.strategy.root_device
    on_gpu = device.type == "cuda"
    return Trainer(
        accelerator="gpu" if on_gpu else device.type,
        devices=[device.index or 0] if on_gpu else 1,
        precision=trainer.precision,
        gradient_clip_val=trainer.gradient_clip_val,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm,
        max_steps=steps,
        limit_val_batches=0,
        logger=False,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
