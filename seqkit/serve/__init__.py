"""A model behind HTTP, on LitServe: ``python -m seqkit serve``."""

try:
    from seqkit.serve.server import serve
except ModuleNotFoundError as error:
    if error.name is None or error.name.startswith("seqkit"):
        raise
    raise ImportError(
        f"serve needs LitServe, and {error.name} is not installed: pip install 'seqkit-packed[serve]'"
    ) from error

__all__ = ["serve"]
