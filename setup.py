"""Build the optional compiled code; without a compiler the package installs without it."""

import runpy
from pathlib import Path

from setuptools import Extension, setup

CSRC = "seqkit/kernels/csrc"
SOURCE_HASH = runpy.run_path("seqkit/kernels/source_hash.py")["source_hash"]()
SWEEP_FLAGS = [
    "-O3",
    "-std=c++17",
    "-pthread",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-maybe-uninitialized",
]
VARIANTS = {
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"],
    "avx2": ["-mavx2", "-mfma"],
    "plain": [],
}


def library(name: str, sources: list[str], compile_flags: list[str], link_flags: list[str]) -> Extension:
    """Describe one library; a failed build is skipped."""
    return Extension(
        f"seqkit.kernels._{name}",
        [f"{CSRC}/{source}" for source in sources],
        define_macros=[("SEQKIT_SOURCE", f"{SOURCE_HASH}ULL")],
        extra_compile_args=compile_flags,
        extra_link_args=link_flags,
        depends=[path.as_posix() for path in sorted(Path(CSRC).iterdir())],
        language="c++",
        optional=True,
    )


setup(
    ext_modules=[
        *(
            library(f"sweeps_{variant}", ["rnn.cpp", "crf.cpp", "pool.cpp"], SWEEP_FLAGS + flags, ["-pthread"])
            for variant, flags in VARIANTS.items()
        ),
        library("gather", ["gather.cpp"], ["-O3", "-std=c++17"], []),
    ]
)
