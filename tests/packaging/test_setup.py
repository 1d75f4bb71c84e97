"""``setup.py`` names and tags what it builds; a wheel of the whole package is a slow test."""

import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

from seqkit.kernels.library_files import library_file
from tests.packaging.tiny import ROOT


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """The commands of setup.py for a distribution whose build folder is empty."""
    found = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **options: found.update(options))
    runpy.run_path("setup.py")
    distribution = setuptools.Distribution({"name": "seqkit-packed", "version": "1.0", **found})
    build = distribution.get_command_obj("build_ext")
    build.build_lib = str(tmp_path)
    build.ensure_finalized()
    wheel = distribution.get_command_obj("bdist_wheel")
    wheel.ensure_finalized()
    return build, wheel


def test_libraries_have_the_names_that_the_package_looks_for(commands):
    build, _ = commands
    names = {Path(file).name for file in build.get_outputs()}
    assert {library_file("sweeps_plain"), library_file("gather")} <= names
    assert {Path(file).parts[-3:-1] for file in build.get_outputs()} == {("seqkit", "kernels")}


def test_the_tag_depends_on_what_was_built(commands):
    build, wheel = commands
    assert wheel.get_tag() == ("py3", "none", "any")
    assert wheel.root_is_pure
    library = Path(next(iter(build.get_outputs())))
    library.parent.mkdir(parents=True)
    library.touch()
    python, abi, platform = wheel.get_tag()
    assert (python, abi) == ("py3", "none")
    assert platform != "any"
    assert not wheel.root_is_pure


def test_msvc_builds_nothing_and_says_so(commands, monkeypatch):
    build, _ = commands
    said = []
    build.compiler = type("Compiler", (), {"compiler_type": "msvc"})
    monkeypatch.setattr(build, "warn", said.append)
    build.build_extensions()
    assert said == ["MSVC cannot compile the kernels; install a wheel of seqkit, which contains them"]


@pytest.mark.slow
@pytest.mark.parametrize(("compiler", "tag"), [("c++", "py3-none-linux"), ("false", "py3-none-any")])
def test_the_wheel_of_this_machine(compiler, tag, tmp_path):
    """With a compiler it has libraries; without one it is for any platform."""
    pytest.importorskip("build")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        env=os.environ | {"CC": compiler, "CXX": compiler},
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert tag in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.endswith(".so")]
    assert bool(libraries) == (compiler == "c++")
