"""File names of the compiled libraries, and the hash of the C++ source that ties a library to it.

``setup.py`` and ``packaging/`` run this file without the package.
"""

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "csrc"
SUFFIXES = {"darwin": ".dylib", "win32": ".dll"}


def library_file(name: str, platform: str = sys.platform) -> str:
    """Return a library's file name, which is the same for every version of Python.

    Args:
        name: The library, such as ``gather`` or ``sweeps_avx2``.
        platform: Where the library runs, as ``sys.platform`` names it.
    """
    return f"_{name}{SUFFIXES.get(platform, '.so')}"


def source_hash(folder: Path = FOLDER) -> int:
    """Hash the names and the contents of all C++ files in a folder to 63 bits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.cpp")) + sorted(folder.glob("*.h")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return int.from_bytes(digest.digest()[:8], "big") >> 1
