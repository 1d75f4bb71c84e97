import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "seqkit/kernels/csrc"
SOURCES = [ROOT / "packaging/kernel_driver.cpp", *(CSRC / name for name in ("rnn.cpp", "crf.cpp", "pool.cpp"))]
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-pthread", "-DSEQKIT_SOURCE=0", "-I", str(CSRC)]
COMPILERS = {
    "g++": ["g++"] if shutil.which("g++") else None,
    "zig": [sys.executable, "-m", "ziglang", "c++"] if importlib.util.find_spec("ziglang") else None,
}


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_all_sweeps_equal_the_scalar_loops(compiler, tmp_path):
    command = COMPILERS[compiler]
    if command is None:
        pytest.skip(f"{compiler} is not installed")
    driver = tmp_path / "driver"
    subprocess.run([*command, *FLAGS, *map(str, SOURCES), "-o", str(driver)], check=True, timeout=300)
    done = subprocess.run([driver], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == done.stdout.count("\n") == 26
