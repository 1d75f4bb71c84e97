"""Measure everything that the pages show, one benchmark after the other, then write the pages.

    python examples/benchmarks/run_all.py DIR
    python examples/benchmarks/run_all.py DIR --only 'quality-*' stream --minutes 30

``DIR`` or its subfolders hold the data files that docs/guide/command_line.md names; they may be gzipped. Each
benchmark runs in a process of its own with two threads; leave the machine alone meanwhile. A benchmark whose result
in results/ is of the same commit, on this machine, is left out, so the same command continues after an
interruption. A failed one is reported at the end and does not stop the others. ``--list`` prints the order, the
expected minutes on two cores, and the commands.
"""

import argparse
import fnmatch
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from measuring import setting

HERE = Path(__file__).parent
THREADS = 2


class Benchmark(NamedTuple):
    """A benchmark: the name of its result, the expected minutes, and its command after ``python``."""

    name: str
    minutes: float
    command: str

    @property
    def result(self) -> Path:
        """The JSON file of its result."""
        return HERE / "results" / f"{self.name}.json"


BENCHMARKS = [
    Benchmark("cost", 0.5, "cost.py"),
    Benchmark("crf", 0.5, "crf.py DIR"),
    Benchmark("stream", 0.5, "stream.py"),
    Benchmark("latency", 1, "latency.py"),
    Benchmark("batches", 1, "batches.py DIR"),
    Benchmark("predict", 2, "predict.py DIR"),
    Benchmark("onnx_inference", 6, "onnx_inference.py DIR"),
    Benchmark("collate", 2, "collate.py --large 2"),
    Benchmark("sampler", 3, "sampler.py --large 10000000 100000000"),
    Benchmark("serve", 3, "serve.py"),
    Benchmark("recurrent", 4, "recurrent.py"),
    Benchmark("parts", 1.5, "parts.py DIR"),
    Benchmark("pipeline-speed", 5, "pipeline.py DIR --rounds 3"),
    Benchmark("pipeline-accuracy", 11, "pipeline.py DIR --accuracy"),
    Benchmark("learning_curves", 13, "learning_curves.py DIR"),
    Benchmark("quality-highlight", 2.5, "quality.py DIR highlight"),
    Benchmark("quality-japanese_vowels", 1, "quality.py DIR japanese_vowels"),
    Benchmark("quality-cmapss_rul", 1, "quality.py DIR cmapss_rul"),
    Benchmark("quality-wnut17_ner", 7, "quality.py DIR wnut17_ner"),
    Benchmark("quality-ewt_upos", 11, "quality.py DIR ewt_upos"),
    Benchmark("quality-cmudict_g2p", 15, "quality.py DIR cmudict_g2p"),
    Benchmark("quality-shakespeare_char", 16, "quality.py DIR shakespeare_char"),
]


def is_measured(benchmark: Benchmark, here: dict[str, object]) -> bool:
    """Whether there is a result of this commit, without changes, on this machine."""
    if not benchmark.result.exists() or not here["commit"] or str(here["commit"]).endswith("changes"):
        return False
    found = json.loads(benchmark.result.read_text())
    return all(found.get(key) == here[key] for key in ("commit", "machine", "instruction set"))


def run(benchmark: Benchmark, folder: Path) -> bool:
    """Run a benchmark in a process of its own; return whether it succeeded."""
    words = [str(folder) if word == "DIR" else word for word in shlex.split(benchmark.command)]
    words = [sys.executable, str(HERE / words[0]), *words[1:], "--output", str(benchmark.result)]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    print(f"\n{time.strftime('%H:%M')} {benchmark.name}, about {benchmark.minutes:g} min", flush=True)
    start = time.perf_counter()
    status = subprocess.run(words, env=environment, check=False).returncode
    took = (time.perf_counter() - start) / 60
    print(f"{time.strftime('%H:%M')} {benchmark.name}: {took:.1f} min, status {status}", flush=True)
    return status == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen benchmarks and write the pages; return the status of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of results, also patterns")
    parser.add_argument("--again", action="store_true", help="also those that are measured at this commit")
    parser.add_argument("--minutes", type=float, help="start none that is expected to end later than this")
    parser.add_argument("--list", action="store_true", help="print the order and the commands, and stop")
    given = parser.parse_args(arguments)
    patterns = given.only or ["*"]
    names = [benchmark.name for benchmark in BENCHMARKS]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            parser.error(f"--only {pattern}: no such benchmark; there are {', '.join(names)}")
    chosen = [one for one in BENCHMARKS if any(fnmatch.fnmatch(one.name, pattern) for pattern in patterns)]
    here = setting()
    left = [one for one in chosen if given.again or not is_measured(one, here)]
    for one in chosen:
        print(f"{one.minutes if one in left else 0:5g} min  {one.name:26} {one.command}")
    print(
        f"{sum(one.minutes for one in left):5g} min; 0 min: measured at this commit, {here['commit']}", flush=True
    )
    if given.list:
        return 0
    start, failed, late = time.perf_counter(), [], []
    for one in left:
        ends = (time.perf_counter() - start) / 60 + one.minutes
        if given.minutes is not None and ends > given.minutes:
            late.append(one.name)
        elif not run(one, given.folder):
            failed.append(one.name)
    pages = subprocess.run([sys.executable, str(HERE / "report.py")], check=False).returncode
    for names, what in ((late, "not started, for lack of time"), (failed, "failed")):
        if names:
            print(f"{what}: {', '.join(names)}")
    return int(bool(failed or pages))


if __name__ == "__main__":
    sys.exit(main())
