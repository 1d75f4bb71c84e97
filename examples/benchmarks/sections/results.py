"""Read the results, and say how they were measured."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "results"


def load(name: str) -> dict[str, Any]:
    """Read a file of results."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def setting_of(found: Mapping[str, Any]) -> str:
    """Describe a run in one line: the machine, threads, versions and commit; says so where one was not recorded."""
    machine = found.get("machine", "machine not recorded")
    vectors = found.get("instruction set", "instruction set not recorded")
    cores = f" on {found['cores']} cores" if found.get("cores") else ""
    threads = found.get("threads")
    counted = "threads not recorded" if threads is None else f"{threads} thread{'s' * (threads != 1)}{cores}"
    packages = found.get("versions") or {key: found[key] for key in ("torch", "python") if key in found}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    commit = f"commit {found['commit']}" if found.get("commit") else "commit not recorded"
    return "; ".join([f"{machine}, {vectors}, {counted}", versions or "versions not recorded", commit])


def measured_on(found: Mapping[str, Any]) -> str:
    """Return the sentence that says how a section was measured."""
    return f"Measured on: {setting_of(found)}."


def measured_alike(every: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return a sentence for each different setting, with the names of its results."""
    names: dict[str, list[str]] = {}
    for name, found in every:
        names.setdefault(setting_of(found), []).append(name)
    if len(names) == 1:
        return f"Measured on: {next(iter(names))}."
    return " ".join(f"Measured on ({', '.join(group)}): {setting}." for setting, group in names.items())
