"""Describe the installation: versions, machine, compiled code, GPU, optional packages, caches."""

import importlib.util
import os
import platform
import shutil
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import huggingface_hub.constants
import torch

import seqkit
from seqkit.cli.commands.doctor.findings import Finding
from seqkit.kernels import load_library
from seqkit.upstream.datasets import cache_folder

PACKAGES = ("torch", "lightning", "torchmetrics", "datasets", "numpy", "pyarrow", "tokenizers", "jsonargparse")
EXTRAS = {"plots": ("matplotlib",), "onnx": ("onnx", "onnxruntime"), "serve": ("litserve",)}
"""The packages of the extras that add something for users; pyproject.toml says what each is for."""
_NO_CODE = (
    "no compiled code fits this machine; install a wheel (pip install --only-binary=:all: --force-reinstall "
    "--no-deps seqkit-packed), or a C++ compiler (Debian: apt install g++; macOS: xcode-select --install) and then "
    "seqkit again; until then all results are the same, but recurrent layers and CRFs are slower"
)


def findings() -> Iterator[Finding]:
    """Describe the installation, one thing after the other."""
    yield Finding("seqkit", f"{seqkit.__version__} in {Path(seqkit.__file__).parent}")
    yield Finding("Python", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield Finding("platform", platform.platform())
    yield Finding(
        "processor", f"{_processor()}; {_cpus()} CPUs; instructions {torch.backends.cpu.get_cpu_capability()}"
    )
    yield threads()
    yield compiled_code()
    yield gpu()
    for extra, packages in EXTRAS.items():
        yield optional(extra, packages)
    yield cache("data cache", cache_folder())
    yield cache("hub cache", Path(huggingface_hub.constants.HF_HUB_CACHE))


def threads() -> Finding:
    """Compare the number of torch's threads with the CPUs that this process may use."""
    count, cpus = torch.get_num_threads(), _cpus()
    text = f"torch uses {count}"
    setting = os.environ.get("OMP_NUM_THREADS")
    if setting is not None:
        text += f" (OMP_NUM_THREADS is {setting})"
    remedy = ""
    if count > cpus:
        remedy = f"torch uses {count} threads on {cpus} CPUs; call torch.set_num_threads({cpus}) at the start"
    return Finding("threads", text, remedy)


def compiled_code() -> Finding:
    """Find out which compiled code runs, and if there is none, why."""
    load_library.cache_clear()  # so that its warnings come now
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        libraries = [load_library("sweeps"), load_library("gather")]
    problems = "; ".join(str(warning.message) for warning in caught)
    names = [library.path.name for library in libraries if library is not None]
    text = f"compiled: {', '.join(names)}" if names else "none: layers run in plain torch"
    if None in libraries:
        return Finding("kernels", text, problems or _NO_CODE)
    return Finding("kernels", text, problems)


def gpu() -> Finding:
    """Describe the GPUs that torch sees."""
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        names = ", ".join(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
        built_for = f"ROCm {torch.version.hip}" if torch.version.hip else f"CUDA {torch.version.cuda}"
        return Finding("GPU", f"{names}; {built_for}")
    if torch.backends.mps.is_available():
        return Finding("GPU", "Apple's, through MPS; layers run there in plain torch")
    build = torch.version.cuda
    return Finding("GPU", "none" if build is None else f"none that this torch, built for CUDA {build}, can use")


def optional(extra: str, packages: tuple[str, ...]) -> Finding:
    """Describe the packages of an extra. One that is missing is no problem."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(extra, f"{' and '.join(missing)} missing; pip install 'seqkit-packed[{extra}]'")
    return Finding(extra, ", ".join(f"{name} {_version(name)}" for name in packages))


def cache(name: str, folder: Path) -> Finding:
    """Describe a folder of caches: where it is, and whether it can be written."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    text = f"{folder}; {shutil.disk_usage(there).free / 2**30:,.0f} GiB free"
    remedy = "" if os.access(there, os.W_OK) else f"{there} cannot be written; let HF_HOME name another folder"
    return Finding(name, text, remedy)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
