"""The hash of the C++ source, which ties a compiled library to it; setup.py runs this file without the package."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "csrc"


def source_hash(folder: Path = FOLDER) -> int:
    """Hash the names and the contents of all C++ files in a folder to 63 bits."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.cpp")) + sorted(folder.glob("*.h")):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return int.from_bytes(digest.digest()[:8], "big") >> 1
