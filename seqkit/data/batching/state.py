"""What samplers' and loaders' states have in common: fingerprints and the comparison of settings."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def fingerprint(*arrays: npt.NDArray[Any]) -> str:
    """Return a hash of the arrays' bytes, 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def require_equal_settings(what: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that a state was saved with the current data and settings.

    Raises:
        ValueError: A value differs; the message names ``what`` is resumed, the key and both values.
    """
    differing = [
        f"{key} {saved.get(key)!r} in the state, {current.get(key)!r} here"
        for key in {**current, **saved}
        if current.get(key) != saved.get(key)
    ]
    if differing:
        raise ValueError(
            f"the {what}'s state does not belong to these data and settings: {'; '.join(differing)}; "
            "resume with those the state was saved with, or start a new run"
        )
