import logging
import shutil
import subprocess
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import pytest
import torch

from seqkit import kernels
from seqkit.data.rows.gather import gather
from seqkit.kernels import compiled
from seqkit.kernels.library_files import FOLDER, library_file, source_hash

needs_library = pytest.mark.skipif(
    kernels.load_library("sweeps") is None or kernels.load_library("gather") is None,
    reason="built without a compiler",
)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler here")


@pytest.fixture(autouse=True)
def load_again():
    """Each test loads the libraries itself, and so does the first test after these."""
    compiled.load_library.cache_clear()
    yield
    compiled.load_library.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in which libraries are searched."""
    monkeypatch.setattr(compiled, "FOLDER", tmp_path)
    return tmp_path


def build(source, target, *flags):
    subprocess.run(["g++", "-shared", "-fPIC", "-std=c++17", *flags, str(source), "-o", str(target)], check=True)


def assert_refused(name, *messages):
    with pytest.warns(RuntimeWarning) as warned:
        assert compiled.load_library(name) is None
    assert compiled.load_library(name) is None  # without a second warning, which would be an error
    (message,) = [str(warning.message) for warning in warned]
    for expected in (*messages, "Reinstall seqkit, from a wheel or with a C++ compiler"):
        assert expected in message


@needs_library
def test_logs_once_which_library_it_uses(caplog):
    with caplog.at_level(logging.INFO):
        compiled.load_library("sweeps")
        compiled.load_library("sweeps")
    (record,) = caplog.records
    assert record.message.startswith("Compiled code for recurrent layers and CRFs: _sweeps_")
    assert kernels.available()[0] == "native"


def test_without_libraries(folder, caplog):
    with caplog.at_level(logging.INFO):
        assert kernels.available() == ("closed_form", "reference")
    assert "No compiled code for recurrent layers and CRFs: they run in Python." in caplog.text
    assert kernels.choose(torch.device("cpu"), torch.float32) == "closed_form"
    with pytest.raises(ValueError, match="backend is 'native'; it is one of"):
        kernels.choose(torch.device("cpu"), torch.float32, forced="native")


@needs_library
@pytest.mark.parametrize("name", ["sweeps", "gather"])
def test_every_declared_function_is_in_its_library(name):
    found = compiled.load_library(name)
    for function, arguments in compiled.FUNCTIONS[name].items():
        assert getattr(found, function).argtypes == arguments


@needs_compiler
def test_a_library_built_from_this_source_is_loaded(folder):
    file = folder / library_file("gather")
    build(FOLDER / "gather.cpp", file, f"-DSEQKIT_SOURCE={source_hash()}ULL")
    assert compiled.load_library("gather") is not None


@needs_compiler
def test_a_library_built_from_changed_source_is_refused(folder):
    changed = shutil.copytree(FOLDER, folder / "csrc")
    with (changed / "gather.cpp").open("a") as source:
        source.write("// changed\n")
    file = folder / library_file("gather")
    build(changed / "gather.cpp", file, f"-DSEQKIT_SOURCE={source_hash(changed)}ULL")
    assert_refused("gather", str(file), f"built from source {source_hash(changed):x}, but this is source")
    assert gather(np.zeros(4, np.int32), np.zeros(1, np.int64), np.ones(2, np.int64), 2) is None


@needs_compiler
def test_a_foreign_library_is_refused(folder):
    source = folder / "foreign.cpp"
    source.write_text('extern "C" void seqkit_gather() {}')
    for name, variant in (("gather", "gather"), ("sweeps", "sweeps_plain")):
        file = folder / library_file(variant)
        build(source, file)
        assert_refused(name, str(file), "seqkit_source")


def test_the_next_variant_is_loaded_if_one_is_refused(folder, monkeypatch):
    def load(path, name):
        if "wide" in path.name:
            raise OSError("broken")
        return path.name

    for variant in ("wide", "narrow"):
        (folder / library_file(f"sweeps_{variant}")).touch()
    monkeypatch.setitem(compiled.VARIANTS, torch.backends.cpu.get_cpu_capability(), ("wide", "narrow"))
    monkeypatch.setattr(compiled, "_open", load)
    with pytest.warns(RuntimeWarning, match="_sweeps_wide.* is not used: broken"):
        assert compiled.load_library("sweeps") == library_file("sweeps_narrow")


def test_a_file_that_is_no_library_is_refused(folder):
    file = folder / library_file("sweeps_plain")
    file.write_bytes(b"text")
    assert_refused("sweeps", str(file))
    assert kernels.available() == ("closed_form", "reference")


def test_the_hash_depends_on_names_and_contents(tmp_path):
    def hash_of(files):
        for path in tmp_path.iterdir():
            path.unlink()
        for name, text in files.items():
            Path(tmp_path, name).write_text(text)
        return source_hash(tmp_path)

    contents = ({"a.h": "1"}, {"b.h": "1"}, {"a.h": "2"}, {"a.h": "1", "b.cpp": ""}, {"a.cpp": "", "b.h": "1"})
    hashes = [hash_of(files) for files in contents]
    assert len(set(hashes)) == len(hashes)
    assert all(0 <= found < 2**63 for found in hashes)
    assert hash_of({"a.h": "1", "notes.txt": "2"}) == hashes[0]


def test_a_library_of_an_older_release_is_ignored(folder):
    (folder / f"_gather{EXTENSION_SUFFIXES[0]}").write_bytes(b"named after a version of Python")
    assert compiled.load_library("gather") is None


@pytest.mark.parametrize(
    ("capability", "first"),
    [("AVX512", "avx512"), ("AVX2", "avx2"), ("DEFAULT", "plain"), ("SVE256", "plain"), ("NO AVX", "plain")],
)
def test_the_variant_follows_the_capability(capability, first, folder, monkeypatch):
    """ARM has one variant, with NEON, which torch calls DEFAULT; it may also report SVE256."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(compiled, "_open", lambda path, name: path.name)
    for variant in ("avx512", "avx2", "plain"):
        (folder / library_file(f"sweeps_{variant}")).touch()
    assert compiled.load_library("sweeps") == library_file(f"sweeps_{first}")


def test_files_are_named_after_the_platform():
    names = [library_file("gather", platform) for platform in ("linux", "darwin", "win32", "freebsd14")]
    assert names == ["_gather.so", "_gather.dylib", "_gather.dll", "_gather.so"]
