"""Build the optional compiled code; without a compiler the package installs without it."""

import os
import platform
import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

LIBRARIES = runpy.run_path("packaging/libraries.py")


def extension(library) -> Extension:
    """Describe a library; a failed build is skipped."""
    return Extension(
        f"seqkit.kernels.{library.name}",
        library.sources,
        define_macros=[LIBRARIES["SOURCE"]],
        extra_compile_args=[*library.flags, *(f"-m{feature}" for feature in library.features)],
        extra_link_args=LIBRARIES["LINK_FLAGS"].get(sys.platform, ["-static"] if os.name == "nt" else []),
        depends=[path.as_posix() for path in sorted(Path(LIBRARIES["CSRC"]).iterdir())],
        language="c++",
        optional=True,
    )


class BuildLibraries(build_ext):
    """Builds plain libraries, which do not use Python's interface and serve every version of Python."""

    def build_extensions(self) -> None:
        """Build all libraries that this compiler can build."""
        if self.compiler.compiler_type == "msvc":  # it has no vector extensions
            self.warn("MSVC cannot compile the kernels; install a wheel of seqkit, which contains them")
        else:
            super().build_extensions()

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of a library, without Python's version."""
        *folders, name = fullname.split(".")
        return os.path.join(*folders, LIBRARIES["library_file"](name))

    def get_export_symbols(self, ext: Extension) -> list[str]:  # noqa: ARG002
        """Return no symbols, because the source marks them."""
        return []

    def get_libraries(self, ext: Extension) -> list[str]:  # noqa: ARG002
        """Return no libraries: Python's is not needed."""
        return []


class TagWheel(bdist_wheel):
    """Tags a wheel for every version of Python, and for every platform if nothing was compiled."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tags for Python, its ABI and the platform."""
        built = self.get_finalized_command("build_ext").get_outputs()
        self.root_is_pure = not any(map(os.path.exists, built))
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[extension(library) for library in LIBRARIES["libraries"](platform.machine())],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": TagWheel},
)
