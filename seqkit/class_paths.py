"""The public name of a class, by which checkpoints, configs and specs name it."""

import sys
from importlib import import_module


def public_path(cls: type) -> str:
    """Return the shortest path from which a class can be imported, such as ``seqkit.nn.LSTM``.

    Packages export their classes under a public name and define them in files that may move. A checkpoint holds the
    public name, so it outlives the move.

    Args:
        cls: A class, seqkit's or any other.

    Returns:
        The path with the fewest packages before the class's name: for ``torch.optim.adam.Adam`` it is
        ``torch.optim.Adam``. A class that no package exports keeps the path of its file.
    """
    name, parts = cls.__qualname__, cls.__module__.split(".")
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        # A parent package of an imported module is imported, except where __module__ was set by hand.
        module = sys.modules.get(package) or import_module(package)
        if getattr(module, name, None) is cls:
            return f"{package}.{name}"
    return f"{cls.__module__}.{name}"
