"""``python -m seqkit share``: write the model of a checkpoint into a folder, or push it to the Hugging Face Hub."""

import argparse
import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from seqkit.cli.arguments import check_files
from seqkit.cli.commands.options import CommandParser
from seqkit.cli.run.folder import run_folder
from seqkit.cli.saved_config import texts
from seqkit.tasks import SequenceModule
from seqkit.tasks.checkpoints.loading import read_checkpoint


def share_command(arguments: Sequence[str]) -> SequenceModule:
    """Parse the command line, write or push the model of the checkpoint, and print where it is.

    Args:
        arguments: The arguments after ``python -m seqkit share``.

    Returns:
        The model.

    Raises:
        ValueError: An argument is wrong, or neither a folder nor an id is given; or the file is no checkpoint.
        OSError: The files cannot be written, or the Hub refuses them.
    """
    check_files(arguments)
    given = _parsed(arguments)
    saved = read_checkpoint(given.ckpt_path)
    model = SequenceModule.load_from_checkpoint(given.ckpt_path, map_location="cpu", trust=given.trust)
    source = _source(saved)
    card: dict[str, Any] = {
        "metrics": last_test_scores(Path(given.ckpt_path), source),
        "data": given.data_name or described(source),
        "license": given.license,
        "language": given.language,
    }
    if given.folder is not None:
        model.save_pretrained(given.folder, **card)
        print(f"model: {given.folder}")
    if given.push is not None:
        print(f"model: {model.push_to_hub(given.push, private=given.private or None, branch=given.branch, **card)}")
    return model


def last_test_scores(checkpoint: Path, source: Any) -> dict[str, float]:
    """Return the scores of the last complete test of a checkpoint that the command line has run, on the same data.

    They are in the folder ``test`` of the checkpoint's run.

    Args:
        checkpoint: The file.
        source: The part of its config that names the source of the data.
    """
    run = run_folder(checkpoint)
    versions = [] if run is None else sorted(run.glob("test/version_*"), key=lambda folder: folder.stat().st_mtime)
    for folder in reversed(versions):
        metrics, config = folder / "metrics.csv", folder / "config.yaml"
        if metrics.is_file() and config.is_file() and metrics.stat().st_mtime >= checkpoint.stat().st_mtime:
            options = yaml.safe_load(config.read_text(encoding="utf-8"))
            if _is_test_of(options, checkpoint, source):
                with metrics.open(encoding="utf-8", newline="") as file:
                    rows = [row for row in csv.DictReader(file) if any(map(_is_score, row.items()))]
                return {name: float(value) for name, value in rows[-1].items() if _is_score((name, value))}
    return {}


def described(source: Any) -> str | None:
    """Describe the source of a config for others: without the folders of its files."""
    if not isinstance(source, dict) or not isinstance(source.get("class_path"), str):
        return None
    name = source["class_path"].rpartition(".")[2]
    values = [value for _, value in texts("", source.get("init_args"))]
    if name != "Hub":  # other texts, such as names of columns, are options
        values = [os.path.basename(value.rstrip("/\\")) for value in values if re.search(r"[/\\.]", value)]
    return ": ".join(filter(None, [name, ", ".join(dict.fromkeys(values))]))


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        "share", "Write the model of a checkpoint into a folder, or push it to the Hugging Face Hub."
    )
    parser.add_checkpoint()
    parser.add_argument("--folder", type=Path, help="the folder to write")
    parser.add_argument("--push", metavar="ID", help="the id on the Hub, such as me/my-tagger")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    parser.add_argument("--branch", help="the branch on the Hub; default: main")
    parser.add_argument("--license", help="the license for the model card, such as apache-2.0")
    parser.add_argument("--language", help="the language of the data, such as en")
    parser.add_argument("--data_name", help="what the model was trained on; default: the source of the checkpoint")
    given = parser.read(arguments)
    if given.folder is None and given.push is None:
        raise ValueError("share writes nowhere; give a folder by --folder DIR, or an id on the Hub by --push ID")
    return given


def _source(checkpoint: dict[str, Any]) -> Any:
    data = checkpoint.get("seqkit_data")
    return data.get("source") if isinstance(data, dict) else None


def _is_test_of(options: Any, checkpoint: Path, source: Any) -> bool:
    """Whether a saved config is that of a complete test of a checkpoint, on its own data."""
    if not isinstance(options, dict) or Path(str(options.get("ckpt_path"))).name != checkpoint.name:
        return False
    trainer, data = options.get("trainer") or {}, options.get("data") or {}
    # 1 is one batch, and 1.0 is all.
    is_complete = str(trainer.get("limit_test_batches")) in ("None", "1.0") and not trainer.get("fast_dev_run")
    return is_complete and _contains(data.get("source"), source)


def _contains(value: Any, saved: Any) -> bool:
    """Whether a value has all that a saved one has; a later version may have added arguments."""
    if isinstance(value, dict) and isinstance(saved, dict):
        return all(key in value and _contains(value[key], item) for key, item in saved.items())
    return bool(value == saved)


def _is_score(item: tuple[str, str]) -> bool:
    return item[0].startswith("test_") and bool(item[1])
