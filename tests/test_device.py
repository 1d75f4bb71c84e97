"""Starts the tests in ``tests/device`` in a process of their own.

A second device changes the whole process: torch takes it for the machine's accelerator, and it must be registered
before the first backward. A program that reads its memory on the CPU is killed.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.device import strict

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("marked", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
def test_tests_on_the_strict_device_pass(marked):
    try:
        strict.build()
    except strict.CannotBuildError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "pytest", "-q", "-m", marked, "tests/device"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout
