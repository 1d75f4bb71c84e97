"""Builds the optional native kernels; without a compiler the package installs all the same."""

from setuptools import Extension, setup

FLAGS = [
    "-O3",
    "-std=c++17",
    "-fopenmp",
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

setup(
    ext_modules=[
        Extension(
            f"seqkit.kernels._{name}_{variant}",
            [f"seqkit/kernels/{name}.cpp"],
            extra_compile_args=FLAGS + flags,
            extra_link_args=["-fopenmp"],
            language="c++",
            optional=True,
        )
        for name in ("native", "crf")
        for variant, flags in VARIANTS.items()
    ]
    + [
        Extension(
            "seqkit.data.rows._gather",
            ["seqkit/data/rows/gather.cpp"],
            extra_compile_args=["-O3", "-std=c++17"],
            language="c++",
            optional=True,
        )
    ]
)
