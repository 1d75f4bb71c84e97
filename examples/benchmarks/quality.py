"""Measure a config: the scores of several seeds, and the time and the speed of each fit.

    python examples/benchmarks/quality.py DIR ewt_upos [--seeds 0 1 2] [--output FILE]

Isolates nothing: fits are measured as ``python -m seqkit sweep --test`` runs them, one after the other in one
process. The time of a fit includes reading and encoding the data; the speed counts training steps only. ``DIR`` or
its subfolders hold the config's files (docs/guide/command_line.md), which may be gzipped.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import ROOT, find, options, setting, write_json

from seqkit.cli import main as seqkit

# By config, the options of its source and their files.
FILES = {
    "highlight": {},
    "ewt_upos": {
        "train": "en_ewt-ud-train.conllu",
        "validation": "en_ewt-ud-dev.conllu",
        "test": "en_ewt-ud-test.conllu",
    },
    "wnut17_ner": {
        "train": "wnut17train.conll",
        "validation": "emerging.dev.conll",
        "test": "emerging.test.annotated",
    },
    "japanese_vowels": {"train": "JapaneseVowels_TRAIN.ts", "test": "JapaneseVowels_TEST.ts"},
    "cmapss_rul": {"train": "train_FD001.txt", "test": "test_FD001.txt", "rul": "RUL_FD001.txt"},
    "shakespeare_char": {"train": "input.txt"},
    "cmudict_g2p": {"path": "cmudict.dict"},
}
WITHOUT_TEST = ("highlight",)  # it has no test split


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Fit with each seed, and write the scores with the setting."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("config", choices=list(FILES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--fit", nargs="*", default=[], metavar="OPTION=VALUE", help="more options of fit, without --"
    )
    given = parser.parse_args(arguments)
    record = setting("datasets")
    files = {
        f"--data.source.init_args.{option}": find(given.folder, name)
        for option, name in FILES[given.config].items()
    }
    test = [] if given.config in WITHOUT_TEST else ["--test"]
    more = [f"--{option}" for option in given.fit]
    with tempfile.TemporaryDirectory() as runs:
        result = seqkit(
            [
                *("sweep", "--seeds", ",".join(map(str, given.seeds)), *test),
                *("--config", str(ROOT / "configs" / f"{given.config}.yaml")),
                *(word for option, file in files.items() for word in (option, str(file))),
                *("--trainer.default_root_dir", runs, "--trainer.enable_progress_bar", "false", *more),
            ]
        )
    measured = {name: result[name] for name in ("seeds", "monitor", "scores", "parameters", "threads")}
    named = {option: f"DIR/{file.name}" for option, file in files.items()}
    shown = ["--config", f"configs/{given.config}.yaml", *(word for pair in named.items() for word in pair), *more]
    report = {**record, "options": shown, **measured}
    write_json(given.output, report)
    return report


if __name__ == "__main__":
    main()
