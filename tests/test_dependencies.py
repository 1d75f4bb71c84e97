"""The declared dependencies are those that the package imports, and its parts need only some of them."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import seqkit
from tests.test_readme import PARTS

ROOT = Path(seqkit.__file__).parents[1]
NAMES = {"pyyaml": "yaml"}  # by distribution, the name to import if it differs
OPTIONAL = {"matplotlib", "onnx", "litserve", "fastapi"}  # for the extras `plots`, `onnx` and `serve`
NOT_IMPORTED = {"tensorboard"}  # Lightning's TensorBoardLogger imports it
COMMAND_LINE = (
    "lightning",
    "pytorch_lightning",
    "lightning_fabric",
    "jsonargparse",
    "rich",
    "tensorboard",
    "matplotlib",
)

REFUSE = f"""
import importlib.abc, json, runpy, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {COMMAND_LINE}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refuse())
for script, *sys.argv[1:] in json.loads(sys.argv[1]):
    sys.path.insert(0, script.rpartition("/")[0])
    runpy.run_path(script, run_name="__main__")
"""


def imported(folder):
    """Top-level names of all modules that the files of a folder import, also inside functions."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"seqkit"}


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    distributions = [re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]]
    declared = {NAMES.get(name, name) for name in distributions}
    assert imported(ROOT / "seqkit") == declared - NOT_IMPORTED | OPTIONAL


def test_lower_bounds_are_not_above_the_tested_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split())
    requirements = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    for requirement in requirements:
        name, lowest = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", requirement).groups()
        lowest, version = (tuple(map(int, text.split("."))) for text in (lowest, tested[name.lower()]))
        assert lowest <= version, f"{requirement}, but constraints.txt has {tested[name.lower()]}"


def test_the_parts_work_without_the_packages_of_the_command_line(tmp_path):
    """In one process, because torch takes seconds to import: a loop, the README's parts, and an example."""
    (tmp_path / "readme.py").write_text("\n".join(PARTS))
    example = [str(ROOT / "examples" / "plain_torch_loop.py"), "--rows", "20", "--epochs", "1"]
    scripts = [[str(ROOT / "tests" / "light_loop.py")], [str(tmp_path / "readme.py")], example]
    subprocess.run([sys.executable, "-c", REFUSE, json.dumps(scripts)], check=True, cwd=ROOT)
