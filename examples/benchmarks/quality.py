"""A shipped config with several seeds: mean and standard deviation of every score.

    python examples/benchmarks/quality.py configs/japanese_vowels.yaml --seeds 0 1 2 \
        --data.source.init_args.train JapaneseVowels_TRAIN.ts --data.source.init_args.test JapaneseVowels_TEST.ts

All other options go to ``python -m seqkit fit`` as they are. Each seed's best checkpoint, by the validation split,
is scored on that split, and with ``--test`` on the test split, too: once, when nothing is left to choose. It is
``python -m seqkit sweep`` under a shorter command line.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqkit.cli import main as seqkit


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run all seeds, print the table and, with ``--output``, write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("config")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--output", type=Path, help="a JSON file")
    given, options = parser.parse_known_args(arguments)
    words = ["--seeds", ",".join(map(str, given.seeds)), *(["--test"] if given.test else [])]
    words += [] if given.output is None else ["--output", str(given.output)]
    return seqkit(["sweep", *words, "--config", given.config, *options])


if __name__ == "__main__":
    main()
