"""Checks of rows whose errors name the row or column, both values and the remedy."""

from collections.abc import Collection, Iterable


def check_columns(names: Iterable[str], existing: Collection[str], owner: str = "the dataset") -> None:
    """Check that columns exist.

    Raises:
        ValueError: For the first column that is missing.
    """
    for name in names:
        if name not in existing:
            raise ValueError(f"{owner} has no column {name!r}; it has {', '.join(existing) or 'none'}")
