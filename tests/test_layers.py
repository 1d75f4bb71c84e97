"""The package's layers: an import never points up."""

import ast
import subprocess
import sys
from pathlib import Path

import seqkit

ROOT = Path(seqkit.__file__).parent
TORCH_ONLY = {"torch", "seqkit", "numpy"}


def layer(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    match parts:
        case ("packed" | "batch" | "files",):
            return 0
        case ("kernels" | "nn", *_) | ("losses" | "metrics" | "schedules" | "spans" | "ctc" | "transcripts",):
            return 1
        case ("data", "module" | "loaders"):
            return 2
        case ("data", *_):
            return 1
        case ("tasks" | "callbacks", *_):
            return 2
    return 3


def imports(path):
    """Modules that a file imports when it is imported: those for the type checker alone do not count."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def files():
    return sorted(ROOT.rglob("*.py"))


def module_file(name):
    path = ROOT.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_no_import_points_up():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        for name in imports(path)
        if name.startswith("seqkit.") and module_file(name).exists() and layer(module_file(name)) > layer(path)
    ]
    assert not wrong


def test_nothing_below_the_data_module_imports_lightning():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        for name in imports(path)
        if layer(path) < 2 and name.split(".")[0] in ("lightning", "pytorch_lightning")
    ]
    assert not wrong


def test_the_algebra_and_the_nets_need_torch_only():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        if path.relative_to(ROOT).parts[0] in ("packed.py", "batch.py", "kernels", "nn")
        for name in imports(path)
        if name.split(".")[0] not in TORCH_ONLY | sys.stdlib_module_names
    ]
    assert not wrong


def test_the_parts_do_not_load_lightning():
    code = (
        "import sys, seqkit.nn, seqkit.losses, seqkit.packed; from seqkit import PackCollate, LengthBucketSampler; "
        "sys.exit('lightning' in sys.modules or 'pytorch_lightning' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices_are_the_trainers_business():
    wrong = [
        f"{path.relative_to(ROOT)}: .{node.func.attr}()"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "cuda"
            # Below, an index follows the data that it indexes; nobody's batch or model is moved.
            or (node.func.attr == "to" and layer(path) >= 2 and "device" in ast.unparse(node))
        )
    ]
    assert not wrong
