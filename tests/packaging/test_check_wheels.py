import re
from functools import partial

import pytest

from seqkit.kernels import compiled
from tests.packaging import tiny

FUNCTIONS = {"seqkit_source", "seqkit_gather"}
BUILD = {
    "linux-x86_64": tiny.elf,
    "linux-aarch64": partial(tiny.elf, machine=183),
    "macos-arm64": tiny.macho,
    "macos-x86_64": partial(tiny.macho, machine=0x01000007, system=(10, 15)),
    "windows-x86_64": tiny.pe,
}
NEEDS = {"linux": "libc.so.6", "macos": "/usr/lib/libSystem.B.dylib", "windows": "api-ms-win-crt-heap-l1-1-0.dll"}


@pytest.fixture
def script():
    import check_wheels

    return check_wheels


def problems(script, name, exports=FUNCTIONS, needs=None, **options):
    content = BUILD[name](exports, [needs or NEEDS[name.partition("-")[0]]], **options)
    return list(script.check_library(content, script.TARGETS[name], FUNCTIONS))


@pytest.mark.parametrize("name", BUILD)
def test_a_good_library_passes(script, name):
    assert problems(script, name) == []


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("linux-x86_64", {"exports": {"seqkit_source"}}, r"exports \['seqkit_source'\], which differ"),
        ("linux-x86_64", {"exports": {*FUNCTIONS, "operator new"}}, r"exports .*operator new"),
        ("linux-x86_64", {"needs": "libstdc++.so.6"}, r"needs libstdc\+\+\.so\.6"),
        ("linux-x86_64", {"versions": ("GLIBC_2.28",)}, r"needs glibc 2\.28"),
        ("linux-x86_64", {"machine": 183}, "is for aarch64"),
        (
            "macos-arm64",
            {"exports": {*FUNCTIONS, "_Znwm", "run"}},
            r"exports \['run', 'seqkit_gather', 'seqkit_source'\]",
        ),
        ("macos-arm64", {"system": (13, 0)}, r"needs macOS 13\.0"),
        ("macos-arm64", {"signed": False}, "has no valid signature"),
        ("macos-x86_64", {"needs": "/usr/lib/libc++.1.dylib"}, r"needs /usr/lib/libc\+\+"),
        ("windows-x86_64", {"needs": "libwinpthread-1.dll"}, "needs libwinpthread-1.dll"),
        ("windows-x86_64", {"exports": {*FUNCTIONS, "DllMain"}}, "exports .*DllMain"),
    ],
)
def test_a_wrong_library_is_found(script, name, options, problem):
    (found,) = problems(script, name, **options)
    assert re.search(problem, found)


def test_a_path_of_the_machine_is_found(script):
    content = tiny.pe(FUNCTIONS, ["KERNEL32.dll"]) + b"\0/root/cache/file.cpp\0"
    (found,) = script.check_library(content, script.TARGETS["windows-x86_64"], FUNCTIONS)
    assert found == "contains the path /root/cache/file.cpp"


def test_the_declared_functions_are_read_from_the_source(script):
    found = script.functions_of((compiled.FOLDER / "compiled.py").read_text(encoding="utf-8"))
    assert found == {name: {*functions, "seqkit_source"} for name, functions in compiled.FUNCTIONS.items()}


def test_the_oldest_system_is_in_the_name_of_the_platform(script):
    found = [script.oldest_system(target) for target in script.TARGETS.values()]
    assert found == [(2, 17), (2, 17), (11, 0), (10, 15), (10, 0)]


def test_a_changed_file_does_not_fit_the_record(script):
    record = script.record_line("a.py", b"1") + "d.dist-info/RECORD,,\n"
    files = {"a.py": b"1", "d.dist-info/RECORD": record.encode()}
    assert list(script.check_record(files, "d.dist-info")) == []
    files["a.py"] = b"2"
    assert list(script.check_record(files, "d.dist-info")) == ["RECORD has another hash for a.py"]
    del files["a.py"]
    assert list(script.check_record(files, "d.dist-info")) == ["a.py is only in RECORD"]


def test_macos_programs_are_not_run_elsewhere(script, monkeypatch):
    monkeypatch.setattr(script.sys, "platform", "linux")
    monkeypatch.setattr(script.shutil, "which", lambda program: None)
    monkeypatch.setattr(script.platform, "machine", lambda: "x86_64")
    reasons = {name: script.runner(target) for name, target in script.TARGETS.items()}
    assert reasons == {
        "linux-x86_64": [],
        "linux-aarch64": "QEMU (qemu-aarch64-static) is not installed",
        "macos-arm64": "nothing here runs programs for darwin on arm64",
        "macos-x86_64": "nothing here runs programs for darwin on x86_64",
        "windows-x86_64": "Wine (wine64) is not installed",
    }


def test_qemu_needs_a_c_library(script, monkeypatch):
    monkeypatch.setattr(script.sys, "platform", "linux")
    monkeypatch.setattr(script.shutil, "which", lambda program: program)
    target = script.TARGETS["linux-aarch64"]._replace(machine="other")
    assert script.runner(target) == "there is no C library for QEMU in /usr/other-linux-gnu"


@pytest.mark.parametrize(
    ("tag", "version"),
    [("manylinux_2_17_x86_64", (2, 17)), ("manylinux_2_5_aarch64", (2, 5)), ("linux_x86_64", (99,))],
)
def test_manylinux(script, tag, version):
    assert script.manylinux(tag) == version
