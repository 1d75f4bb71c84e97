"""Run tutorials on real data, and write what they print and draw to docs/tutorials/recorded/.

    python examples/tutorials/record.py DIR
    python examples/tutorials/record.py DIR tag_words language_model
    python examples/benchmarks/report.py

DIR or its subfolders hold the data files, which may be gzipped. For a tutorial NAME these files are written:
``NAME.txt``, what it prints; ``NAME_*.png``, its pictures; ``NAME.json``, the command, the seconds, the machine,
the versions and the hash of the script. A test fails where a script differs from the recorded one: record it again
after a change. The last command writes the time and the machine into the pages.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RECORDED = ROOT / "docs" / "tutorials" / "recorded"
sys.path.append(str(ROOT / "examples" / "benchmarks"))

from measuring import find, setting, write_json  # noqa: E402  examples/benchmarks/measuring.py

from seqkit.files import atomic_write  # noqa: E402

FILES = {  # the data files of each tutorial, in the order of its arguments
    "classify_series": ["JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"],
    "forecast": ["train_FD001.txt", "test_FD001.txt"],
    "language_model": ["input.txt"],
    "named_entities": ["wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"],
    "serve_a_model": [],
    "spelling_to_sound": ["cmudict.dict"],
    "tag_words": ["en_ewt-ud-train.conllu", "en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu"],
    "your_own_data": [],
}


def script_hash(name: str) -> str:
    """Return the hash of a tutorial's script; it does not depend on the line ends of a checkout."""
    return hashlib.sha256((HERE / f"{name}.py").read_text(encoding="utf-8").encode()).hexdigest()


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command in a folder, and return what it prints.

    Raises:
        RuntimeError: The command fails; the message is what it wrote to the standard error.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "90",  # the width of tables
        "HF_DATASETS_CACHE": str(folder / "cache"),  # the time includes reading the data
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def record(name: str, data: Path, recorded: Path = RECORDED) -> None:
    """Run a tutorial, and replace its recorded files.

    Args:
        name: The name of the script, without ``.py``.
        data: The folder of the data files.
        recorded: Where the files are written.
    """
    files = [find(data, file).absolute() for file in FILES[name]]
    found = script_hash(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        command = [sys.executable, str(HERE / f"{name}.py"), *map(str, files), "--output", "pictures"]
        printed = run(command, folder)
        seconds = time.perf_counter() - start
        for file in files:
            printed = printed.replace(str(file), file.name)
        drawn = sorted(path for path in folder.glob("pictures/*") if path.suffix in (".png", ".svg"))
        pictures = {f"{name}_{path.name}": path for path in drawn}
        recorded.mkdir(parents=True, exist_ok=True)
        for stale in _pictures(recorded / f"{name}.json"):
            (recorded / stale).unlink(missing_ok=True)
        for picture, path in pictures.items():
            shutil.copyfile(path, recorded / picture)
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    with atomic_write(recorded / f"{name}.txt") as text:
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    arguments = " ".join(["", *(file.name for file in files)])
    run_of = {
        "command": f"python examples/tutorials/{name}.py{arguments}",
        "seconds": round(seconds, 1),
        "sha256": found,
        "pictures": list(pictures),
    }
    write_json(recorded / f"{name}.json", run_of | setting("datasets"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Record tutorials, by default all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DIR", help="the folder of the data files")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tutorials; by default all")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in FILES]
    if unknown:
        parser.error(f"no tutorial {', '.join(unknown)}; there are {', '.join(FILES)}")
    for name in options.names or FILES:
        print(name, flush=True)
        record(name, options.data)


def _pictures(file: Path) -> list[str]:
    """Return the names of the pictures of an earlier recording."""
    return json.loads(file.read_text(encoding="utf-8"))["pictures"] if file.exists() else []


if __name__ == "__main__":
    main()
