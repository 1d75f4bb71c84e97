"""``python -m seqkit sweep``: one config with several seeds, and the mean and standard deviation of every score."""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from seqkit.callbacks import Throughput
from seqkit.callbacks.monitor import has_validation
from seqkit.cli.main import main as seqkit
from seqkit.files import atomic_write


def sweep(options: Sequence[str], seeds: Sequence[int], *, test: bool = False) -> dict[str, Any]:
    """Fit with each seed and score its best checkpoint, by the validation split.

    Args:
        options: The words after ``python -m seqkit fit``, without ``--seed_everything``.
        seeds: The seeds.
        test: Whether to score the test split, too. Choices made by its scores make them worthless: leave it alone
            until all else is decided.

    Returns:
        Plain types: the ``seeds``, the ``monitor``, and by name the ``scores`` of every seed, among them the
        seconds that the fit took and the tokens a second in training; the number of ``parameters``; what it ran on.
    """
    monitor, parameters, runs = "", 0, []
    for seed in seeds:
        monitor, parameters, scores = _run(options, seed, test=test)
        runs.append(scores)
    return {
        "options": list(options),
        "seeds": list(seeds),
        "monitor": monitor,
        "scores": {name: [run[name] for run in runs] for name in runs[0]},
        "parameters": parameters,
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def table(result: dict[str, Any]) -> Table:
    """The table of what :func:`sweep` gives, the score that says which checkpoint is best on top."""
    seeds, scores = result["seeds"], result["scores"]
    made = Table(title=f"seeds {', '.join(map(str, seeds))}; {result['parameters']:,} parameters")
    for name in ("", "mean", "standard deviation", *(f"seed {seed}" for seed in seeds)):
        made.add_column(name, justify="right" if name else "left")
    for name in sorted(scores, key=lambda name: name != result["monitor"]):
        spread = f"{statistics.stdev(scores[name]):.4f}" if len(seeds) > 1 else "-"
        values = (f"{value:.4f}" for value in scores[name])
        made.add_row(name, f"{statistics.mean(scores[name]):.4f}", spread, *values)
    return made


def main(words: Sequence[str]) -> dict[str, Any]:
    """Sweep as the command line says, print the table and, with ``--output``, write all values as JSON.

    Args:
        words: The words after ``python -m seqkit sweep``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m seqkit sweep",
        description="Fit with several seeds; all other options are those of `fit`.",
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="with commas between; by default 0,1,2")
    parser.add_argument("--test", action="store_true", help="score the test split, too; once, when all is decided")
    parser.add_argument("--output", type=Path, help="a JSON file for all values")
    given, options = parser.parse_known_args(list(words))
    result = sweep(options, given.seeds, test=given.test)
    if getattr(rank_zero_only, "rank", 0):
        return result  # the first rank prints and writes
    Console().print(table(result))
    if given.output is not None:
        with atomic_write(given.output) as whole:
            whole.write_text(json.dumps(result, indent=1))
    return result


def _run(options: Sequence[str], seed: int, *, test: bool) -> tuple[str, int, dict[str, float]]:
    start = time.perf_counter()
    cli = seqkit(["fit", *options, f"--seed_everything={seed}"])
    seconds = time.perf_counter() - start
    trainer: Any = cli.trainer
    if trainer.checkpoint_callback is None:
        raise ValueError("sweep scores the best checkpoint; leave out --trainer.enable_checkpointing=false")
    # Of a checkpoint it would load the last step's weights in place of the average.
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, WeightAveraging)]
    scores: dict[str, float] = {}
    for verb in ("validate", "test"):
        if has_validation(trainer) if verb == "validate" else test:
            score = getattr(trainer, verb)
            (found,) = score(cli.model, cli.datamodule, ckpt_path="best", verbose=False, weights_only=True)
            scores |= found
    scores |= {"fit_seconds": seconds, "epochs": float(trainer.current_epoch)}
    pace = next((callback for callback in trainer.callbacks if isinstance(callback, Throughput)), None)
    if pace is not None and pace.seconds:
        scores["tokens/s"] = pace.tokens / pace.seconds * trainer.world_size
    return str(cli.model.monitor[0]), sum(p.numel() for p in cli.model.parameters()), scores


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
