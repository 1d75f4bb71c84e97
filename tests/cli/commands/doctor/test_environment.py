import tomllib
from pathlib import Path

import pytest
import torch

from seqkit.cli.commands.doctor import environment
from seqkit.kernels import compiled
from seqkit.kernels.library_files import library_file

PROJECT = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_extras_are_those_of_the_package():
    for extra, packages in environment.EXTRAS.items():
        assert [each.partition(">")[0] for each in PROJECT["optional-dependencies"][extra]] == list(packages)


def test_a_missing_extra_is_no_problem_and_names_the_command():
    assert environment.optional("plots", ("no_such_package",)) == (
        "plots",
        "no_such_package missing; pip install 'seqkit-packed[plots]'",
        "",
        False,
    )


class TestCompiledCode:
    @pytest.fixture(autouse=True)
    def load_again(self):
        yield
        compiled.load_library.cache_clear()

    def test_names_the_files_that_run(self):
        found = environment.compiled_code()
        libraries = [compiled.load_library("sweeps"), compiled.load_library("gather")]
        if None in libraries:
            pytest.skip("built without a compiler")
        assert found.text.startswith("compiled: _sweeps_")
        assert ", _gather" in found.text
        assert not found.remedy

    def test_says_what_to_do_where_there_is_none(self, tmp_path, monkeypatch):
        monkeypatch.setattr(compiled, "FOLDER", tmp_path)
        found = environment.compiled_code()
        assert found.text == "none: layers run in plain torch"
        assert "install a wheel" in found.remedy
        assert "compiler" in found.remedy

    def test_says_why_a_library_is_not_used(self, tmp_path, monkeypatch):
        (tmp_path / library_file("sweeps_plain")).write_bytes(b"no library")
        monkeypatch.setattr(compiled, "FOLDER", tmp_path)
        assert "is not used" in environment.compiled_code().remedy


def test_threads(monkeypatch):
    monkeypatch.setattr(environment, "_cpus", lambda: 4)
    monkeypatch.setattr(environment.torch, "get_num_threads", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert environment.threads() == ("threads", "torch uses 4 (OMP_NUM_THREADS is 4)", "", False)
    monkeypatch.setattr(environment.torch, "get_num_threads", lambda: 6)
    assert (
        environment.threads().remedy == "torch uses 6 threads on 4 CPUs; call torch.set_num_threads(4) at the start"
    )


def test_the_gpu_of_a_cpu_build_is_none():
    if torch.cuda.is_available() or torch.backends.mps.is_available() or torch.version.cuda:
        pytest.skip("a GPU, or a build for one")
    assert environment.gpu().text == "none"


def test_a_folder_of_caches_that_does_not_exist_yet(tmp_path, monkeypatch):
    found = environment.cache("data cache", tmp_path / "a" / "b")
    assert found.text.startswith(f"{tmp_path / 'a' / 'b'}; ")
    assert not found.remedy
    monkeypatch.setattr(environment.os, "access", lambda *_: False)
    assert environment.cache("data cache", tmp_path / "a").remedy == (
        f"{tmp_path} cannot be written; let HF_HOME name another folder"
    )
