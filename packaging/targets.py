"""The platforms that have a wheel."""

from typing import NamedTuple


class Target(NamedTuple):
    """A platform: zig's name, ``sys.platform``, ``platform.machine()``, and the tags of its wheel."""

    triple: str
    platform: str
    machine: str
    tags: tuple[str, ...]


TARGETS = {
    "linux-x86_64": Target(
        "x86_64-linux-gnu.2.17", "linux", "x86_64", ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
    ),
    "linux-aarch64": Target(
        "aarch64-linux-gnu.2.17", "linux", "aarch64", ("manylinux2014_aarch64", "manylinux_2_17_aarch64")
    ),
    "macos-arm64": Target("aarch64-macos.11.0", "darwin", "arm64", ("macosx_11_0_arm64",)),
    "macos-x86_64": Target("x86_64-macos.10.15", "darwin", "x86_64", ("macosx_10_15_x86_64",)),
    "windows-x86_64": Target("x86_64-windows-gnu", "win32", "AMD64", ("win_amd64",)),
}
