import zipfile
from pathlib import Path

import pytest

WHEEL = "Wheel-Version: 1.0\nGenerator: setuptools\nRoot-Is-Purelib: true\nTag: py3-none-any\n\n"


@pytest.fixture
def script():
    import build_wheels

    return build_wheels


@pytest.fixture
def pure(tmp_path):
    """A wheel without libraries."""
    path = tmp_path / "seqkit_packed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("seqkit/__init__.py", "")
        archive.writestr("seqkit/kernels/compiled.py", "")
        archive.writestr("seqkit_packed-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("seqkit_packed-1.0.dist-info/METADATA", "Version: 1.0\n")
        archive.writestr("seqkit_packed-1.0.dist-info/RECORD", "of the pure wheel")
    return path


def write(script, pure, folder, target="linux-x86_64"):
    folder.mkdir()
    library = folder / "_gather.so"
    library.write_bytes(b"library")
    return script.write_wheel(pure, [library], script.TARGETS[target], folder, "1700000000")


def test_a_wheel_gets_libraries_tags_and_a_record(script, pure, tmp_path):
    from check_wheels import check_record

    wheel = write(script, pure, tmp_path / "out")
    assert wheel.name == "seqkit_packed-1.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files["seqkit/kernels/_gather.so"] == b"library"
    assert list(files)[-1] == "seqkit_packed-1.0.dist-info/RECORD"
    assert files["seqkit_packed-1.0.dist-info/WHEEL"].decode().splitlines() == [
        "Wheel-Version: 1.0",
        "Generator: setuptools",
        "Root-Is-Purelib: false",
        "Tag: py3-none-manylinux2014_x86_64",
        "Tag: py3-none-manylinux_2_17_x86_64",
    ]
    assert list(check_record(files, "seqkit_packed-1.0.dist-info")) == []


def test_two_builds_give_the_same_bytes(script, pure, tmp_path):
    first, second = (write(script, pure, tmp_path / name) for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_every_platform_has_its_libraries(script):
    names = {
        name: [script.library_file(library.name, target.platform) for library in script.libraries(target.machine)]
        for name, target in script.TARGETS.items()
    }
    assert names == {
        "linux-x86_64": ["_sweeps_avx512.so", "_sweeps_avx2.so", "_sweeps_plain.so", "_gather.so"],
        "linux-aarch64": ["_sweeps_plain.so", "_gather.so"],
        "macos-arm64": ["_sweeps_plain.dylib", "_gather.dylib"],
        "macos-x86_64": ["_sweeps_avx512.dylib", "_sweeps_avx2.dylib", "_sweeps_plain.dylib", "_gather.dylib"],
        "windows-x86_64": ["_sweeps_avx512.dll", "_sweeps_avx2.dll", "_sweeps_plain.dll", "_gather.dll"],
    }


def test_the_sources_exist(script):
    for library in script.libraries("x86_64"):
        assert all((script.ROOT / source).is_file() for source in library.sources)


def test_an_unknown_target_is_refused(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main(["--output", str(tmp_path), "solaris"])
    assert "unknown target 'solaris'; it is one of linux-x86_64" in capsys.readouterr().err


def test_changes_that_are_not_committed_are_refused(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "run", lambda words, folder, **environment: " M setup.py\n")
    with pytest.raises(SystemExit, match=r"(?s)commit them or add --allow-changes:.*setup\.py"):
        script.main(["--output", str(tmp_path / "out")])
    assert not Path(tmp_path, "out").exists()


def test_a_command_that_fails_ends_the_program_with_its_output(script, tmp_path):
    with pytest.raises(SystemExit, match=r"(?s)no such thing.*failed with exit code 3"):
        script.run(["sh", "-c", "echo no such thing; exit 3"], tmp_path)


@pytest.mark.slow
def test_the_wheels_of_all_platforms(script, tmp_path, capfd):
    for package in ("auditwheel", "build", "ziglang"):
        pytest.importorskip(package)
    if not (script.ROOT / ".git").exists():
        pytest.skip("the tree is no git checkout")
    import check_wheels

    script.main(["--output", str(tmp_path), "--allow-changes"])
    check_wheels.main([str(tmp_path)])
    found = capfd.readouterr().out
    assert found.count("symbols and oldest system: passed") == len(script.TARGETS)
    assert "gather: passed" in found
