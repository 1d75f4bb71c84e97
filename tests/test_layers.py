"""The layers of the package: an import never points up, and each layer keeps to its own dependencies."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

import seqkit

ROOT = Path(seqkit.__file__).parent
LAYERS = [  # lowest first; a module belongs to the longest prefix that fits
    ["files", "figures", "class_paths", "options", "batch", "upstream"],
    ["packed"],
    ["kernels", "labels"],
    ["nn", "losses", "decoding", "optim"],
    ["metrics", "data"],
    ["data.lightning"],
    ["tasks"],
    ["callbacks", "export", "serve"],
    ["cli"],
    ["__main__"],
]
TORCH_ONLY = (
    *("packed", "kernels", "labels", "nn", "losses", "decoding", "optim", "batch"),
    *("files", "class_paths", "options"),
)
LIGHTNING_ALLOWED = ("data.lightning", "tasks", "callbacks", "cli", "upstream.lightning", "upstream.jsonargparse")
SERVER_ALLOWED = {"litserve", "fastapi"}  # in seqkit.serve, which is imported for a server only
LIGHT = ["torch", "numpy", "torchmetrics", "datasets", "pyarrow", "tokenizers", "fsspec", "filelock", "pandas"]
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_within(module, package):
    return module == package or module.startswith(f"{package}.")


def layer(module):
    found = [
        (len(package), number)
        for number, packages in enumerate(LAYERS)
        for package in packages
        if is_within(module, package)
    ]
    assert found, f"seqkit.{module} belongs to no layer; add it to LAYERS in {Path(__file__).name}"
    return max(found)[1]


def imports(path, everywhere=False):
    """Names that a file imports at import time, or also inside functions; not those for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def is_module(name):
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def own_imports(path):
    """Modules of the package that a file imports at import time, without the leading ``seqkit.``."""
    return {
        name.removeprefix("seqkit.") for name in imports(path) if name.startswith("seqkit.") and is_module(name)
    }


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_import_points_up(path):
    module = module_name(path)
    wrong = [name for name in own_imports(path) if layer(name) > layer(module)]
    assert not wrong, f"seqkit.{module} imports from higher layers: {wrong}"


def test_no_two_packages_import_each_other():
    """A package is a folder directly under seqkit; data.lightning counts as one of its own."""

    def package(module):
        return "data.lightning" if is_within(module, "data.lightning") else module.split(".")[0]

    edges = {
        (package(module_name(path)), package(name))
        for path in FILES
        for name in own_imports(path)
        if package(module_name(path)) != package(name)
    }
    # seqkit.data exports what lies below data.lightning, which imports it.
    assert not {(a, b) for a, b in edges if (b, a) in edges}


def test_modules_do_not_import_in_circles():
    graph = {module_name(path): own_imports(path) for path in FILES if path.name != "__init__.py"}
    finished, open_ = set(), []

    def visit(module):
        if module in finished or module not in graph:
            return
        assert module not in open_, f"imports in a circle: {' -> '.join([*open_, module])}"
        open_.append(module)
        for name in sorted(graph[module]):
            visit(name)
        finished.add(open_.pop())

    for module in graph:
        visit(module)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_dependencies_of_the_layers(path):
    module = module_name(path)
    outside = {name.split(".")[0] for name in imports(path) if name} - {"seqkit"} - sys.stdlib_module_names
    if is_within(module, "serve"):
        outside -= SERVER_ALLOWED
    if not any(is_within(module, package) for package in LIGHTNING_ALLOWED) and module != "__main__":
        assert outside <= set(LIGHT), f"seqkit.{module} imports {outside - set(LIGHT)}"
    if any(is_within(module, package) for package in TORCH_ONLY):
        assert outside <= {"torch", "numpy"}, f"seqkit.{module} imports {outside}"
    if is_within(module, "upstream") and module != "upstream":
        assert not own_imports(path) - {"upstream"}, f"seqkit.{module} imports other parts of the package"


def test_the_parts_load_what_they_need_only():
    code = (
        "import sys, seqkit.nn, seqkit.losses, seqkit.packed, seqkit.labels, seqkit.decoding, seqkit.optim\n"
        "heavy = {'lightning', 'pytorch_lightning', 'jsonargparse', 'rich', 'tensorboard', 'matplotlib'}\n"
        "heavy |= {'torchmetrics', 'scipy', 'sklearn', 'transformers'}\n"
        "found = (heavy | {'datasets', 'pandas', 'pyarrow', 'tokenizers'}) & set(sys.modules)\n"
        "import seqkit.data\n"
        "from seqkit import LengthBucketSampler, PackCollate\n"
        "found |= heavy & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(found)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_are_short_and_folders_small():
    for path in ROOT.rglob("*"):
        if path.suffix in (".py", ".cpp", ".h"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            most = 350 if path.suffix == ".py" else 400
            assert lines <= most, f"{path.relative_to(ROOT)} has {lines} lines; split it at {most}"
        elif path.is_dir() and path.name != "__pycache__":
            files = [file for file in path.iterdir() if file.suffix in (".py", ".cpp", ".h")]
            assert len(files) <= 13, f"{path.relative_to(ROOT)} has {len(files)} files; make a folder of some"


NAMED_TUPLE = {"_replace", "_asdict", "_fields"}  # documented, in spite of the underscore


@functools.cache
def defined_names(path):
    """Names that a file defines as functions, classes or variables, or assigns to attributes of ``self``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            names.add(node.attr)
    return names


def is_self(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def private_uses(path):
    """Private attributes that are not ours: of ``self`` those that no file defines, of other objects this file."""
    anywhere = set().union(*(defined_names(file) for file in FILES if not is_within(module_name(file), "upstream")))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            ours = anywhere if is_self(node.value) else defined_names(path)
            if node.attr not in ours | NAMED_TUPLE:
                yield node.lineno, ast.unparse(node)


def test_a_private_use_is_found(tmp_path):
    """Also of a name that another file of the package defines for itself, as ``_indices``."""
    path = tmp_path / "file.py"
    path.write_text("class Own:\n    def f(self, other):\n        return other._indices, self._unknown\n")
    assert [code for _, code in private_uses(path)] == ["other._indices", "self._unknown"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_private_attributes_of_other_libraries_are_used_in_upstream_only(path):
    module = module_name(path)
    if is_within(module, "upstream"):
        pytest.skip("this is where they belong")
    uses = [f"line {line}: {code}" for line, code in private_uses(path)]
    private = [
        name
        for name in imports(path, everywhere=True)
        if name
        and not name.startswith(("seqkit", "__future__"))
        and any(p.startswith("_") for p in name.split("."))
    ]
    assert uses + private == [], (
        f"seqkit.{module} uses private attributes of other libraries: {uses + private}; move each into a function "
        f"of seqkit/upstream, with a test"
    )


def test_devices_are_the_trainers_business():
    """Only indices follow the data that they index; no code moves a batch or a model."""
    wrong = [
        f"{module_name(path)}: line {node.lineno}: .{node.func.attr}()"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            node.func.attr == "cuda"
            or (node.func.attr == "to" and layer(module_name(path)) >= 5 and "device" in ast.unparse(node))
        )
    ]
    assert not wrong
