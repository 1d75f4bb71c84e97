"""Train and test a config with several seeds: mean and standard deviation of every test score.

    python examples/benchmarks/quality.py configs/japanese_vowels.yaml --seeds 0 1 2 \
        --data.source.init_args.train JapaneseVowels_TRAIN.ts --data.source.init_args.test JapaneseVowels_TEST.ts

All other options go to ``python -m seqkit fit`` as they are. Each seed's best checkpoint, by the validation split,
is tested once.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from seqkit.cli import main as seqkit


def run(config: str, seed: int, options: Sequence[str]) -> dict[str, float]:
    """Fit with one seed and test the best checkpoint; the scores, with the seconds that the fit took."""
    start = time.perf_counter()
    fitted = seqkit(["fit", "--config", config, f"--seed_everything={seed}", *options])
    seconds = time.perf_counter() - start
    checkpoint = fitted.trainer.checkpoint_callback.best_model_path
    tested = seqkit(["test", f"--ckpt_path={checkpoint}", "--trainer.logger=false"])
    scores = {name: float(value) for name, value in tested.trainer.callback_metrics.items()}
    return scores | {"fit_seconds": seconds}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all seeds, print the table and, with ``--output``, write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="a JSON file")
    given, options = parser.parse_known_args(arguments)
    runs = {seed: run(given.config, seed, options) for seed in given.seeds}
    scores = {name: [of[name] for of in runs.values()] for name in runs[given.seeds[0]]}
    table = Table(title=f"{given.config}, seeds {', '.join(map(str, given.seeds))}")
    for name in ("", "mean", "standard deviation", *(f"seed {seed}" for seed in given.seeds)):
        table.add_column(name, justify="right" if name else "left")
    for name, values in scores.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        table.add_row(name, *(f"{value:.4f}" for value in (statistics.mean(values), spread, *values)))
    Console().print(table)
    result = {
        "config": given.config,
        "seeds": given.seeds,
        "scores": scores,
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if given.output is not None:
        beside = given.output.with_name(f"{given.output.name}.whole")
        beside.write_text(json.dumps(result, indent=1))
        os.replace(beside, given.output)
    return result


if __name__ == "__main__":
    main()
