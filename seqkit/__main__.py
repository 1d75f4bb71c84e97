"""``python -m seqkit``."""

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["sweep"]:
        from seqkit.cli.sweep import main as sweep

        sweep(sys.argv[2:])
    else:
        from seqkit.cli.main import main

        main()
