import importlib
import math
import os
import sys
from types import ModuleType

import pytest

from seqkit.data import code_key as tested
from seqkit.data.code_key import code_key

FILES = {
    "project/__init__.py": "",
    "project/encoder.py": "import project.tables.large\nfrom .rules import rule\nfrom project import names\n",
    "project/rules.py": "from lonely import value as v\n\ndef rule():\n    from project.lazy import x\n",
    "project/names.py": "import json, numpy.random, not_installed\n",
    "project/tables/__init__.py": "",
    "project/tables/large.py": "TABLE = [1]\n",
    "project/lazy.py": "x = 1\n",
    "project/unused.py": "x = 1\n",
    "lonely.py": "value = 1\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of modules, a function that edits one, and the key of `project.encoder` in a new process."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(tested, "_START", math.inf)

    def key(*modules):
        for cached in (tested._read, tested._find_code, tested._spec):
            cached.cache_clear()
        importlib.invalidate_caches()
        return code_key(*(modules or ("project.encoder",)))

    yield tmp_path, key
    key()
    for cached in (tested._read, tested._find_code, tested._spec):
        cached.cache_clear()


def test_covers_all_that_is_imported(project):
    folder, key = project
    before = key()
    assert key() == before
    for name in FILES:
        (folder / name).write_text(FILES[name] + "# edited\n")
        if name == "project/unused.py":
            assert key() == before
        else:
            assert key() != before, name
        (folder / name).write_text(FILES[name])
        assert key() == before


def test_nothing_is_imported(project):
    _, key = project
    key()
    assert not [name for name in sys.modules if name.startswith("project")]


def test_versions_of_packages_count(project, monkeypatch):
    _, key = project
    before = key()
    monkeypatch.setattr(tested, "_version", lambda package: "1.2.3" if package == "numpy" else "")
    assert key() != before


def test_a_module_that_is_installed_later_counts(project):
    folder, key = project
    before = key()
    (folder / "not_installed.py").write_text("")
    assert key() != before


def test_files_of_packages_count_if_the_module_is_in_one(project, monkeypatch):
    folder, key = project
    package = folder / "site-packages" / "plugin"
    package.mkdir(parents=True)
    monkeypatch.syspath_prepend(package.parent)
    for name in ("__init__.py", "encoder.py", "rules.py"):
        (package / name).write_text("from plugin.rules import rule\n" if name == "encoder.py" else "")
    (folder / "project" / "names.py").write_text("import plugin.rules\n")
    inside, outside = key("plugin.encoder"), key()
    (package / "rules.py").write_text("rule = 2\n")
    assert key("plugin.encoder") != inside
    assert key() == outside


@pytest.mark.parametrize("change", ["edit", "touch", "replace", "remove"])
def test_a_file_that_changes_while_the_process_runs_has_no_key(project, monkeypatch, change):
    folder, key = project
    file = folder / "project" / "rules.py"
    for name in FILES:
        os.utime(folder / name, (1, 1))
    monkeypatch.setattr(tested, "_START", max((folder / name).stat().st_ctime for name in FILES) + 1e-6)
    before = key()
    assert code_key("project.encoder") == before
    if change == "edit":
        file.write_text("")
    elif change == "touch":
        file.touch()
    elif change == "replace":  # by one with the old time
        (folder / "new").write_text("")
        os.utime(folder / "new", (1, 1))
        (folder / "new").replace(file)
    else:
        file.unlink()
    assert len({before, code_key("project.encoder"), code_key("project.encoder")}) == 3


def test_code_without_a_file_has_no_key(project, monkeypatch):
    _, key = project
    assert key("project.missing") != key("project.missing")
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # as in a notebook
    assert key("__main__") != key("__main__")


def test_a_script_is_its_file(project, monkeypatch):
    folder, key = project
    (folder / "script.py").write_text("import lonely\n")
    script = ModuleType("__main__")
    script.__file__ = str(folder / "script.py")
    monkeypatch.setitem(sys.modules, "__main__", script)
    before = key("__main__")
    assert key("__mp_main__") == before
    (folder / "lonely.py").write_text("value = 2\n")
    assert key("__main__") != before
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)  # what is typed after the script has no file
    assert key("__main__") != key("__main__")


def test_every_parser_covers_the_reading_of_lines():
    for source in ("cmapss", "cmudict", "conll", "text", "time_series"):
        module = f"seqkit.data.sources.{source}"
        assert "seqkit.data.sources.lines" in dict(tested._find_code((module,)).files)
    encoders = dict(tested._find_code(("seqkit.data.encoders.encode",)).files)
    assert {"seqkit.data.encoders.words", "seqkit.data.encoders.columns", "seqkit.labels.sequences"} <= set(
        encoders
    )
    assert not [
        name for name in encoders if name.startswith(("seqkit.tasks", "seqkit.kernels", "seqkit.data.batch"))
    ]
