"""One line of the output of ``doctor``."""

from typing import NamedTuple


class Finding(NamedTuple):
    """What was found about one thing.

    Attributes:
        name: The thing, in one word.
        text: What was found.
        remedy: What to do about it; empty if all is well.
        is_error: Whether results are wrong.
    """

    name: str
    text: str
    remedy: str = ""
    is_error: bool = False
