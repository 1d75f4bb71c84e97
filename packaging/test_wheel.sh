#!/usr/bin/env bash
# Run tests with an installed wheel, without a compiler:
#
#     packaging/test_wheel.sh DIST [arguments of pytest]
#
# DIST has the sdist and the wheels. pip chooses the wheel for this machine and installs it in a new environment; all other
# packages are those of the environment that runs this script. The tests come from the sdist, and the folder seqkit beside
# them is a link to the installed package, so that no file of the source tree is imported.
set -euo pipefail

dist=$(realpath "$1")
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv --without-pip "$work/venv"
python="$work/venv/bin/python"
python3 -m pip --python "$python" install --no-deps --no-index --only-binary :all: --find-links "$dist" seqkit-packed
site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/others.pth"

mkdir "$work/bin" "$work/source"
for program in /usr/bin/* /bin/* /usr/sbin/ldconfig; do
    case $(basename "$program") in
        *gcc* | *g++* | *clang* | cc | c++ | c89* | c99* | cpp*) ;;
        *) ln -sf "$program" "$work/bin" ;;
    esac
done
tar -xzf "$dist"/*.tar.gz --strip-components 1 -C "$work/source"
rm -r "$work/source/seqkit"
ln -s "$site/seqkit" "$work/source/seqkit"

cd "$work/source"
unset CC CXX PYTHONPATH
export PATH="$work/venv/bin:$work/bin"
python -c '
import shutil, pathlib, sys, seqkit.kernels
assert not any(map(shutil.which, ("cc", "c++", "gcc", "g++", "clang")))
assert pathlib.Path(seqkit.__file__).resolve().is_relative_to(sys.prefix), seqkit.__file__
for name in ("sweeps", "gather"):
    print(f"{name}: {seqkit.kernels.load_library(name)}")
    assert seqkit.kernels.load_library(name) is not None
'
python -m pytest "$@"
