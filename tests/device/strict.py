"""The device ``strict``: an accelerator in software that every machine with a compiler has.

Its memory cannot be read by the CPU (a program that tries ends with a segmentation fault), tensors of two devices
must not meet, and each wait of the host is recorded. ``strict.cpp`` has its operators.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension

NAME = "seqkit_strict_device"
SOURCE, HEADER = (Path(__file__).with_name(name) for name in ("strict.cpp", "strict_device.h"))


class CannotBuildError(Exception):
    """This is not Linux, there is no compiler, or headers are missing."""


class WaitError(RuntimeError):
    """The host waits for the device where it must not."""


def load() -> ModuleType:
    """Build the device unless it is built, and register it: ``torch.device("strict")``, ``torch.strict``.

    It must be loaded before the first backward of the process, which starts one thread for each device.

    Raises:
        CannotBuildError: See there.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    spec = importlib.util.spec_from_file_location(NAME, build())
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    sys.modules[NAME] = library
    torch.utils.rename_privateuse1_backend("strict")
    torch._register_device_module("strict", _device_module(library))
    torch.utils.generate_methods_for_privateuse1_backend()
    return library


@dataclass(frozen=True)
class Wait:
    """A wait of the host: ``read`` from the device or ``write`` to it, the operator, and where it was called."""

    kind: str
    operator: str
    stack: traceback.StackSummary

    def __str__(self) -> str:
        ours = [frame for frame in self.stack if f"{os.sep}seqkit{os.sep}" in frame.filename] or self.stack[-3:]
        calls = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-3:]))
        return f"{self.kind} {self.operator} at {calls or 'the backward'}"


@contextmanager
def waits(*, stop: bool = False) -> Iterator[list[Wait]]:
    """Record the waits of the host inside the context.

    These are copies to the CPU, operators whose result has a size that depends on values, and copies from the CPU
    that are not asynchronous from pinned memory: on CUDA, the host waits at each of them for all earlier work.

    Args:
        stop: Raise at the first wait, to find it.

    Raises:
        WaitError: At a wait, if asked to.
    """
    recorded: list[Wait] = []

    def record(kind: str, operator: str) -> None:
        recorded.append(Wait(kind, operator, traceback.extract_stack()[:-1]))
        if stop:
            raise WaitError(str(recorded[-1]))

    library = load()
    before = library.listen(record)
    try:
        yield recorded
    finally:
        library.listen(before)


def build() -> Path:
    """Compile the source into a folder of the user's temporary files, once for all processes."""
    compiler = os.environ.get("CXX", "c++")
    headers = [*cpp_extension.include_paths(), sysconfig.get_path("include")]
    if sys.platform != "linux":
        raise CannotBuildError(f"the strict device is for Linux, and this is {sys.platform}")
    import fcntl  # which Windows lacks

    if shutil.which(compiler) is None:
        raise CannotBuildError(f"no compiler {compiler!r}; install one, or set CXX")
    for header in ("torch/library.h", "Python.h"):
        if not any(Path(folder, header).exists() for folder in headers):
            raise CannotBuildError(f"no {header} in {headers}")
    libraries = Path(torch.__file__).parent / "lib"
    command = [
        *(compiler, "-std=c++20", "-O1", "-fPIC", "-shared", str(SOURCE)),
        *(f"-DTORCH_EXTENSION_NAME={NAME}", f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"),
        *(f"-I{folder}" for folder in headers),
        *(f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lc10", "-ltorch_cpu", "-ltorch", "-ltorch_python"),
    ]
    folder = Path(tempfile.gettempdir(), f"{NAME}-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CannotBuildError(f"{folder} belongs to another user")
    key = repr((torch.__version__, sys.version, command)).encode() + SOURCE.read_bytes() + HEADER.read_bytes()
    library = folder / f"{hashlib.sha256(key).hexdigest()[:16]}.so"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            part = library.with_suffix(".part")  # moved into place when it is complete
            done = subprocess.run([*command, "-o", str(part)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{compiler} cannot build {SOURCE.name}:\n{done.stderr}")
            part.rename(library)
    return library


def _device_module(library: ModuleType) -> ModuleType:
    """Make ``torch.strict``, with the functions that torch and Lightning call."""
    module = ModuleType("torch.strict")

    @contextmanager
    def use(device: torch.device | str | int) -> Iterator[None]:
        before = library.current_device()
        library.set_device(index_of(device))
        try:
            yield
        finally:
            library.set_device(before)

    def index_of(device: torch.device | str | int | None = None) -> int:
        index = device if device is None or isinstance(device, int) else torch.device(device).index
        return library.current_device() if index is None else index

    def generator(device: torch.device | str | int = "strict") -> torch.Generator:
        return library.default_generator(index_of(device))

    def everywhere() -> list[torch.Generator]:
        return [generator(index) for index in range(library.device_count())]

    module.is_available = lambda: True
    module.is_initialized = lambda: True
    module._is_in_bad_fork = lambda: False
    module.device = use
    module.device_count = library.device_count
    module.current_device = library.current_device
    module.set_device = lambda device: library.set_device(index_of(device))
    module.synchronize = lambda device=None: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    module.get_rng_state = lambda device="strict": generator(device).get_state()
    module.set_rng_state = lambda state, device="strict": generator(device).set_state(state)
    module.get_rng_state_all = lambda: [each.get_state() for each in everywhere()]
    module.set_rng_state_all = lambda states: [
        each.set_state(s) for each, s in zip(everywhere(), states, strict=True)
    ]
    module.manual_seed = lambda seed: generator().manual_seed(seed)
    module.manual_seed_all = lambda seed: [each.manual_seed(seed) for each in everywhere()]
    module.initial_seed = lambda: generator().initial_seed()
    return module
