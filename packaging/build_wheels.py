"""Build the sdist and the wheels of all platforms on one Linux machine.

    pip install -c constraints.txt -e '.[wheels]'
    python packaging/build_wheels.py --output dist               # the sdist and every wheel
    python packaging/build_wheels.py --output dist linux-x86_64  # the sdist and one wheel

The standard backend builds the sdist and, from it, a wheel without libraries. zig compiles the libraries of each
platform; its wheel is that wheel with libraries and tags. With the same versions of the packages, two builds of a
commit give the same bytes: times are those of the commit, and libraries contain no path of this machine. Files that
git ignores are left out. A tree with changes that are not committed is refused.
"""

import argparse
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from libraries import LINK_FLAGS, ROOT, SOURCE, Library, libraries, library_file
from targets import TARGETS, Target


def run(words: list[str], folder: Path, **environment: str) -> str:
    """Run a command in a folder and return its output; end the program with that output if the command fails."""
    done = subprocess.run(words, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}failed with exit code {done.returncode}")
    return done.stdout


def copy_source(folder: Path) -> Path:
    """Copy the files that git knows or would add."""
    names = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def build_pure(source: Path, folder: Path, epoch: str) -> tuple[Path, Path]:
    """Build the sdist and, from it, a wheel without libraries."""
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    run(words, source, CC="false", CXX="false", SOURCE_DATE_EPOCH=epoch)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*-py3-none-any.whl")
    return sdist, wheel


def compile_library(library: Library, target: Target, source: Path, folder: Path) -> Path:
    """Compile a library for a platform. It contains the C++ library and needs only what the system has."""
    file = folder / library_file(library.name, target.platform)
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", target.triple]
    cpu = "+".join(["baseline", *library.features])
    objects = []
    for path in library.sources:
        objects.append(str(folder / f"{library.name}_{Path(path).stem}.o"))
        words = [f"-mcpu={cpu}", "-fPIC", "-g0", *library.flags, f"-D{SOURCE[0]}={SOURCE[1]}", "-c", path]
        run([*zig, *words, "-o", objects[-1]], source)
    # All libraries of a platform are linked for the same processor, so zig compiles the C++ library only once.
    flags = ["-mcpu=baseline", "-shared", "-s", *LINK_FLAGS.get(target.platform, [])]
    if target.platform == "darwin":
        flags.append(f"-Wl,-install_name,@rpath/{file.name}")
    run([*zig, *flags, "-o", str(file), *objects], source)
    return file


def record_line(name: str, content: bytes) -> str:
    """Return the line of a file in a wheel's RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def tagged(wheel_file: str, target: Target) -> str:
    """Return the content of a pure wheel's WHEEL with the tags of a platform."""
    lines = [line for line in wheel_file.splitlines() if re.match(r"(?!Root-Is-Purelib|Tag)\S", line)]
    tags = [f"Tag: py3-none-{tag}" for tag in target.tags]
    return "\n".join([*lines, "Root-Is-Purelib: false", *tags]) + "\n"


def write_wheel(pure: Path, built: list[Path], target: Target, output: Path, epoch: str) -> Path:
    """Write a platform's wheel: a pure wheel, its libraries and its tags."""
    name, version, *_ = pure.name.split("-")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(pure) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist() if not entry.endswith("/")}
    files |= {f"seqkit/kernels/{file.name}": file.read_bytes() for file in built}
    files[f"{info}/WHEEL"] = tagged(files[f"{info}/WHEEL"].decode(), target).encode()
    del files[f"{info}/RECORD"]
    names = sorted(files, key=lambda file: (file.startswith(info), file))  # installers read dist-info from the end
    record = "".join(record_line(file, files[file]) for file in names) + f"{info}/RECORD,,\n"
    path = output / f"{name}-{version}-py3-none-{'.'.join(target.tags)}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in [*names, f"{info}/RECORD"]:
            entry = zipfile.ZipInfo(file, time.gmtime(int(epoch))[:6])
            entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, files.get(file, record))
    return path


def main(arguments: list[str] | None = None) -> None:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(description="Build the sdist and the wheels of all platforms.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--output", type=Path, required=True, help="the folder for the files")
    parser.add_argument("--allow-changes", action="store_true", help="build a tree with changes, for a trial")
    options = parser.parse_args(arguments)
    for name in options.targets:
        if name not in TARGETS:
            parser.error(f"unknown target {name!r}; it is one of {', '.join(TARGETS)}")
    changes = run(["git", "status", "--porcelain"], ROOT)
    if changes and not options.allow_changes:
        sys.exit(f"the tree has changes that are not committed; commit them or add --allow-changes:\n{changes}")
    epoch = run(["git", "log", "-1", "--format=%ct"], ROOT).strip()
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = copy_source(Path(temporary, "source"))
        sdist, pure = build_pure(source, Path(temporary, "pure"), epoch)
        files = [Path(shutil.copy(sdist, options.output))]
        for name in options.targets or TARGETS:
            target, folder = TARGETS[name], Path(temporary, name)
            folder.mkdir()
            built = [compile_library(library, target, source, folder) for library in libraries(target.machine)]
            files.append(write_wheel(pure, built, target, options.output, epoch))
    for file in files:
        print(f"{file.stat().st_size / 1024:8.0f} KiB  {file.name}")


if __name__ == "__main__":
    main()
