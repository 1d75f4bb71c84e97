"""New processes for tests, without the seconds in which each of them would import torch and Lightning.

A server imports them once and forks for each call (multiprocessing's ``forkserver``). A forked process shares no
state with the tests. Tests of what a process imports, of signals and of ``python`` itself start a real one instead.
"""

import atexit
import multiprocessing
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqkit.data import code_key

FORKS = "forkserver" in multiprocessing.get_all_start_methods()  # Windows cannot fork; there, each process imports
_context = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    _context.set_forkserver_preload(["lightning.pytorch.cli", "seqkit.cli", "seqkit.callbacks", "datasets"])


@dataclass(frozen=True)
class Done:
    """How a process ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Process:
    """A Python process.

    Args:
        arguments: Those of ``python``: a script, ``-m`` and a module, or ``-c`` and code, with its arguments.
        cwd: The working directory, by default that of the tests.
        env: Environment variables to set.
    """

    def __init__(self, *arguments: Any, cwd: Any = None, env: dict[str, str] | None = None) -> None:
        self._output = Path(tempfile.mkdtemp(prefix="seqkit-test-"))
        self._process = _context.Process(
            target=_run,
            args=(
                [str(argument) for argument in arguments],
                os.fspath(cwd or Path.cwd()),
                os.environ | (env or {}),
            ),
            kwargs={"output": str(self._output)},
        )
        self._process.start()

    def is_running(self) -> bool:
        return self._process.is_alive()

    def stop(self) -> None:
        """Ask the process to end (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process and those that it started at once."""
        if FORKS:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.join()
        shutil.rmtree(self._output, ignore_errors=True)

    def wait(self, timeout: float = 240) -> Done:
        """Wait for the end.

        Raises:
            TimeoutError: The process runs for longer; it is killed.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            said = self._read("stdout") + self._read("stderr")
            self.kill()
            raise TimeoutError(f"still running after {timeout:.0f} s:\n{said}")
        done = Done(self._process.exitcode, self._read("stdout"), self._read("stderr"))
        shutil.rmtree(self._output)
        return done

    def _read(self, name: str) -> str:
        return (self._output / name).read_text(encoding="utf-8")


def run(*arguments: Any, ranks: int = 1, check: bool = True, timeout: float = 240, **options: Any) -> Done:
    """Run a process to its end, or several ranks, each with the environment that ``torchrun`` sets.

    Lightning then starts no further ranks.

    Args:
        arguments: See :class:`Process`, also for ``options``.
        ranks: The number of processes.
        check: Fail unless all succeed.
        timeout: In seconds.

    Returns:
        The first rank's end and output.
    """
    if ranks == 1:
        started = [Process(*arguments, **options)]
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "tests"}
        group |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks), "GROUP_RANK": "0"}
        each = [group | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
        started = [Process(*arguments, env=env, **options) for env in each]
    end = time.monotonic() + timeout
    try:
        done = [process.wait(max(end - time.monotonic(), 1)) for process in started]
    finally:
        for process in started:
            if process.is_running():
                process.kill()
    assert not (check and any(each.returncode for each in done)), "".join(e.stdout + e.stderr for e in done)
    return done[0]


def _run(arguments: list[str], cwd: str, environment: dict[str, str], *, output: str) -> None:
    """Become what ``python ARGUMENTS`` would be."""
    if FORKS:
        os.setpgid(0, 0)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(Path(output, name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # for the workers of loaders
    code_key._START = time.time()  # the process starts now, not when the server imported the module
    code = 0
    try:
        match arguments:
            case ["-m", module, *rest]:
                sys.path.insert(0, cwd)
                sys.argv = [module, *rest]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case ["-c", program, *rest]:
                sys.path.insert(0, cwd)
                sys.argv = ["-c", *rest]
                exec(compile(program, "-c", "exec"), {"__name__": "__main__"})
            case [script, *rest]:
                sys.path.insert(0, str(Path(script).resolve().parent))
                sys.argv = [script, *rest]
                runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
