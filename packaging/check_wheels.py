"""Check the wheels in a folder, and run their libraries where this machine can.

    python packaging/check_wheels.py dist

Checks of each wheel its tags, RECORD and files; of each library what it exports and needs, the oldest system that
loads it, and on macOS the signature. Then the drivers beside this script, compiled for the platform by zig, load
each library and compare it with plain loops: natively, under QEMU (Debian: qemu-user-static, libc6-arm64-cross) or
under Wine (wine64). Lists what could not be run. Ends with code 1 if a check fails.
"""

import argparse
import ast
import csv
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from binaries import read_binary
from build_wheels import record_line, run
from libraries import VARIANTS, libraries, library_file
from targets import TARGETS, Target

FOLDER = Path(__file__).resolve().parent
SYSTEM_LIBRARIES = {
    "linux": r"lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux-.*",
    "darwin": r"/usr/lib/libSystem\.B\.dylib",
    "win32": r"(?i)(kernel32|ntdll|msvcrt|ucrtbase|advapi32|api-ms-win-[\w-]+)\.dll",
}
# zig exports these for macOS whatever it is told: operators new and delete, and two of the linker's own.
ALWAYS_EXPORTED = {"darwin": r"_Z[nd][wal].*|_mh_dylib_header|__dso_handle"}
MACHINES = {"arm64": "aarch64", "AMD64": "x86_64"}
PATHS = re.compile(rb"/(?:home|root|tmp|Users)/[\w./-]+")


def functions_of(source: str) -> dict[str, set[str]]:
    """Return the functions of each library, which ``compiled.py`` declares."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FUNCTIONS":
            declared = node.value
            return {
                key.value: {function.value for function in value.keys} | {"seqkit_source"}
                for key, value in zip(declared.keys, declared.values, strict=True)
            }
    raise ValueError("compiled.py declares no FUNCTIONS")


def oldest_system(target: Target) -> tuple[int, ...]:
    """Return the version in zig's name of a platform; Windows 10 where there is none."""
    version = re.search(r"\.([\d.]+)$", target.triple)
    return tuple(map(int, version[1].split("."))) if version else (10, 0)


def check_record(files: dict[str, bytes], info: str) -> Iterator[str]:
    """Yield what is wrong with RECORD."""
    record = files[f"{info}/RECORD"].decode()
    listed = {row[0] for row in csv.reader(record.splitlines())}
    for name in listed ^ set(files):
        yield f"{name} is only in {'RECORD' if name in listed else 'the wheel'}"
    for name, content in files.items():
        if name != f"{info}/RECORD" and record_line(name, content) not in record.splitlines(keepends=True):
            yield f"RECORD has another hash for {name}"


def check_files(wheel: Path, files: dict[str, bytes], target: Target) -> Iterator[str]:
    """Yield what is wrong with the names and tags of a wheel."""
    name, version, *_ = wheel.name.split("-")
    info = f"{name}-{version}.dist-info"
    yield from check_record(files, info)
    lines = files[f"{info}/WHEEL"].decode().splitlines()
    for tag in target.tags:
        if f"Tag: py3-none-{tag}" not in lines:
            yield f"WHEEL has no tag py3-none-{tag}"
    if "Root-Is-Purelib: false" not in lines:
        yield "WHEEL says that the wheel has no libraries"
    if f"Version: {version}" not in files[f"{info}/METADATA"].decode().splitlines():
        yield f"METADATA has another version than {version}"
    for notice in ("LICENSE", "NOTICE"):
        if f"{info}/licenses/{notice}" not in files:
            yield f"there is no {notice}"
    expected = {f"seqkit/kernels/{library_file(lib.name, target.platform)}" for lib in libraries(target.machine)}
    found = {file for file in files if file.endswith((".so", ".dylib", ".dll", ".pyd", ".pdb", ".lib"))}
    for file in expected ^ found:
        yield f"{file} {'is missing' if file in expected else 'does not belong here'}"


def check_library(content: bytes, target: Target, functions: set[str]) -> Iterator[str]:
    """Yield what is wrong with a library."""
    binary = read_binary(content)
    if binary.machine != MACHINES.get(target.machine, target.machine):
        yield f"is for {binary.machine}"
    added = re.compile(ALWAYS_EXPORTED.get(target.platform, "$^"))
    exports = {name for name in binary.exports if not added.fullmatch(name)}
    if exports != functions:
        yield f"exports {sorted(exports)}, which differ from {sorted(functions)}"
    for needed in binary.needs:
        if not re.fullmatch(SYSTEM_LIBRARIES[target.platform], needed):
            yield f"needs {needed}"
    name, version = binary.system
    if version > oldest_system(target):
        yield f"needs {name} {'.'.join(map(str, version))}"
    if target.platform == "darwin" and target.machine == "arm64" and not binary.signed:
        yield "has no valid signature, which Apple silicon demands"
    if path := PATHS.search(content):
        yield f"contains the path {path[0].decode()}"


def check_manylinux(wheel: Path, target: Target) -> Iterator[str]:
    """Yield what auditwheel says against the tags of a wheel for Linux."""
    done = subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], capture_output=True, text=True)
    said = " ".join((done.stdout + done.stderr).split())
    allowed = re.search(r'consistent with the following platform tag: "(\w+)"', said)
    if allowed is None:
        yield f"auditwheel: {said}"
    elif manylinux(allowed[1]) > manylinux(max(target.tags)):
        yield f"auditwheel allows only {allowed[1]}"


def manylinux(tag: str) -> tuple[int, ...]:
    """Return glibc's version in a tag such as manylinux_2_17_x86_64."""
    found = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    return tuple(map(int, found.groups())) if found else (99,)


def runner(target: Target) -> list[str] | str:
    """Return the words that start a program of a platform, or why there are none."""
    if (target.platform, target.machine) == (sys.platform, platform.machine()):
        return []
    if target.platform == "linux" and sys.platform == "linux":
        system = f"/usr/{target.machine}-linux-gnu"
        program, found = [f"qemu-{target.machine}-static", "-L", system], "QEMU"
        if shutil.which(program[0]) and not Path(system).exists():
            return f"there is no C library for QEMU in {system}"
    elif target.platform == "win32":
        places = ("wine64", "wine", "/usr/lib/wine/wine64")  # Debian's package wine64 is not on the path
        program, found = [next(filter(shutil.which, places), "wine64")], "Wine"
    else:
        return f"nothing here runs programs for {target.platform} on {target.machine}"
    return program if shutil.which(program[0]) else f"{found} ({program[0]}) is not installed"


def missing_features(library_name: str) -> list[str]:
    """Return the features of the processor that a library needs and this machine does not have."""
    cpuinfo = Path("/proc/cpuinfo")
    present = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return [feature for feature in VARIANTS.get(library_name.partition("_")[2], []) if feature not in present]


def run_libraries(wheel: Path, target: Target, folder: Path) -> Iterator[tuple[str, str]]:
    """Run the drivers on the libraries of a wheel; yield the library's name and ``passed`` or what happened."""
    start = runner(target)
    if isinstance(start, str):
        yield "libraries", f"not run: {start}"
        return
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith("seqkit/kernels/")])
    drivers = {name: compile_driver(name, target, folder) for name in ("gather", "kernel")}
    for library in libraries(target.machine):
        if missing := missing_features(library.name):
            yield library.name, f"not run: this processor has no {', '.join(missing)}"
            continue
        file = f"seqkit/kernels/{library_file(library.name, target.platform)}"
        words = [*start, str(drivers["gather" if library.name == "gather" else "kernel"])]
        variables = {"SEQKIT_LIBRARY": f"./{file}", "WINEDEBUG": "-all", "WINEPREFIX": str(folder / "wine")}
        done = subprocess.run(words, cwd=folder, env=os.environ | variables, capture_output=True, text=True)
        checks = len(re.findall(r"^ok\b", done.stdout, flags=re.MULTILINE))
        good = checks and done.returncode == 0
        yield library.name, f"passed: {checks} checks" if good else f"FAILED:\n{done.stdout}{done.stderr}"


def compile_driver(name: str, target: Target, folder: Path) -> Path:
    """Compile a driver that calls the functions of a library, with the headers of the wheel."""
    file = folder / (f"{name}.exe" if target.platform == "win32" else name)
    words = [sys.executable, "-m", "ziglang", "c++", "-target", target.triple, "-O2", "-std=c++17", "-pthread"]
    words += ["-I", str(folder / "seqkit/kernels/csrc"), "-include", str(FOLDER / "loaded.h")]
    run([*words, str(FOLDER / f"{name}_driver.cpp"), "-o", str(file)], folder)
    return file


def check(wheel: Path) -> bool:
    """Check a wheel and print what was found; tell whether all is well."""
    platform_tags = wheel.stem.rpartition("-")[2]
    target = next((target for target in TARGETS.values() if ".".join(target.tags) == platform_tags), None)
    print(f"{wheel.name} ({wheel.stat().st_size / 1024:.0f} KiB)")
    if target is None:
        print("  PROBLEM: its tags are of no platform in targets.py")
        return False
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    functions = functions_of(files["seqkit/kernels/compiled.py"].decode())
    problems = list(check_files(wheel, files, target))
    for library in libraries(target.machine):
        file = library_file(library.name, target.platform)
        if content := files.get(f"seqkit/kernels/{file}"):
            wrong = check_library(content, target, functions[library.name.partition("_")[0]])
            problems += [f"{file} {problem}" for problem in wrong]
    if target.platform == "linux":
        problems += check_manylinux(wheel, target)
    for problem in problems:
        print(f"  PROBLEM: {problem}")
    if not problems:
        print("  tags, RECORD, files, symbols and oldest system: passed")
    with tempfile.TemporaryDirectory() as folder:
        runs = dict(run_libraries(wheel, target, Path(folder)))
    for name, result in runs.items():
        print(f"  {name}: {result}")
    return not problems and not any(result.startswith("FAILED") for result in runs.values())


def main(arguments: list[str] | None = None) -> None:
    """Check all wheels of a folder."""
    parser = argparse.ArgumentParser(description="Check the wheels in a folder.")
    parser.add_argument("folder", type=Path)
    wheels = sorted(parser.parse_args(arguments).folder.glob("*.whl"))
    if not wheels:
        sys.exit("there are no wheels in this folder")
    results = [check(wheel) for wheel in wheels]
    if not all(results):
        sys.exit(1)


if __name__ == "__main__":
    main()
