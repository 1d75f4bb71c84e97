"""``python -m seqkit``."""

from seqkit.cli import main
from seqkit.cli.messages import exit_with_message

if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        exit_with_message(error)
