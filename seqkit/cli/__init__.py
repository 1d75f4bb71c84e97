"""The command line: ``python -m seqkit``."""
