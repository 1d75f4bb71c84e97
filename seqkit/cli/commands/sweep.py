"""``python -m seqkit sweep``: fit one config with several seeds; mean and standard deviation of every score."""

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
from seqkit.cli.commands.options import CommandParser
from seqkit.cli.sequence_cli import SequenceCLI
from seqkit.files import atomic_write, check_not_read
from seqkit.upstream.lightning import find_callbacks, remove_callbacks


def sweep(
    options: Sequence[str], seeds: Sequence[int], *, test: bool = False, output: Path | None = None
) -> dict[str, Any]:
    """Fit with each seed, and score each seed's best checkpoint on the validation split.

    Args:
        options: The arguments after ``python -m seqkit fit``, without ``--seed_everything``.
        seeds: The seeds.
        test: Whether to score the test split as well. Test scores that decide anything are biased: use it once,
            after all decisions.
        output: A JSON file for the result.

    Returns:
        Plain types: the ``seeds``, the ``monitor``, the ``scores`` of every seed by name, the number of
        ``parameters``, and the machine and versions. The scores include the seconds of the fit and the training
        speed in tokens per second.

    Raises:
        ValueError: ``output`` is a file that a fit reads, or an option names a seed.
    """
    for option in options:
        if option.partition("=")[0] in ("--seed", "--seed_everything"):
            raise ValueError(f"sweep gives each fit its seed; instead of {option}, name the seeds: --seeds 0,1,2")
    monitor, parameters, runs = "", 0, []
    for seed in seeds:
        _print(f"seed {seed}")
        monitor, parameters, scores = _run(options, seed, test=test, output=output)
        runs.append(scores)
    result = {
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
    _write(result, output)
    return result


def sweep_command(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse the command line, run :func:`sweep`, print its table and write its result as JSON.

    Args:
        arguments: The arguments after ``python -m seqkit sweep``.
    """
    parser = CommandParser("sweep", "Fit with several seeds. All other options are those of `fit`.")
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="separated by commas; default: 0,1,2")
    parser.add_argument(
        "--test", action="store_true", help="score the test split as well; use it once, after all decisions"
    )
    parser.add_argument("--output", type=Path, help="a JSON file for all values")
    given, options = parser.parse_known_args(list(arguments))
    result = sweep(options, given.seeds, test=given.test, output=given.output)
    _print(_table(result))
    return result


@rank_zero_only
def _print(what: str | Table) -> None:
    Console(markup=False, emoji=False, highlight=False).print(what)


@rank_zero_only
def _write(result: dict[str, Any], output: Path | None) -> None:
    if output is not None:
        with atomic_write(output) as temporary:
            temporary.write_text(json.dumps(result, indent=1))


def _table(result: dict[str, Any]) -> Table:
    """Create the table of the scores; the first row is the monitor, which selects the best checkpoint."""
    seeds, scores = result["seeds"], result["scores"]
    table = Table(title=f"seeds {', '.join(map(str, seeds))}; {result['parameters']:,} parameters")
    # Names and means are never cut. The values of the seeds take the rest, in several lines if they must.
    table.add_column("", no_wrap=True)
    for name in ("mean", "sd"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("each seed", overflow="fold")
    for name in sorted(scores, key=lambda name: name != result["monitor"]):
        values = [_number(value) for value in scores[name]]
        width = max(map(len, values))
        deviation = _number(statistics.stdev(scores[name])) if len(seeds) > 1 else "-"
        each = " ".join(value.rjust(width) for value in values)
        table.add_row(name, _number(statistics.mean(scores[name])), deviation, each)
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _run(
    options: Sequence[str], seed: int, *, test: bool, output: Path | None
) -> tuple[str, int, dict[str, float]]:
    """Fit with one seed; return the monitor's name, the number of parameters and the scores."""

    class Fit(SequenceCLI):
        prints_tables = False
        other_options = ("seeds", "test", "output")

        def before_fit(self) -> None:
            if output is not None:
                check_not_read(output, self.config.as_dict())

    start = time.perf_counter()
    cli = Fit(["fit", *options, f"--seed_everything={seed}"])
    seconds = time.perf_counter() - start
    trainer = cli.trainer
    if trainer.checkpoint_callback is None:
        raise ValueError("sweep scores the best checkpoint; leave out --trainer.enable_checkpointing=false")
    # It would replace the checkpoint's weights by those of the last step.
    remove_callbacks(trainer, WeightAveraging)
    evaluations = [*([trainer.validate] if has_validation(trainer) else []), *([trainer.test] if test else [])]
    load: dict[str, Any] = {"ckpt_path": "best", "weights_only": True}
    scores: dict[str, float] = {}
    for evaluate in evaluations:
        scores |= evaluate(cli.model, cli.datamodule, verbose=False, **load)[0]
        load = {}  # the model has these weights now
    scores |= {"fit_seconds": seconds, "epochs": float(trainer.current_epoch)}
    for throughput in find_callbacks(trainer, Throughput):
        if throughput.seconds:
            scores["tokens/s"] = throughput.tokens_per_second * trainer.world_size
    return str(cli.model.monitor[0]), sum(p.numel() for p in cli.model.parameters()), scores


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of integers, such as 0,1,2") from None
