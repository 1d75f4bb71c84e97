"""``python -m seqkit serve``: a model behind HTTP."""

import argparse
from collections.abc import Sequence

from seqkit.cli.commands.options import CommandParser

_DESCRIPTION = """\
Serve a checkpoint: POST /predict takes rows as JSON and answers with their predictions, GET / is a page to try the
model, GET /info describes it and GET /health says whether it is ready. SIGTERM and Ctrl-C stop the server after the
requests that wait."""


def serve_command(arguments: Sequence[str]) -> None:
    """Parse the command line, and run :func:`seqkit.serve.serve`.

    Args:
        arguments: The arguments after ``python -m seqkit serve``.

    Raises:
        ImportError: LitServe is not installed.
        ValueError: An argument is wrong.
    """
    parser = CommandParser("serve", _DESCRIPTION)
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    parser.add_checkpoint("the checkpoint of the model, or a folder of save_pretrained")
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="0.0.0.0 (or ::) serves all networks, 127.0.0.1 this machine only")
    add("--port", type=int, default=8000, help="from 1024 on")
    add("--max_tokens", type=int, default=16384, help="token budget of a batch")
    add("--max_rows", type=int, default=1000, help="the most rows of a request")
    add("--max_request_tokens", type=int, default=200_000, help="the most tokens of a request")
    add("--max_bytes", type=int, default=8_000_000, help="the most bytes of a request")
    add("--timeout", type=float, default=30.0, help="seconds that a request may wait; 0 for no limit")
    add("--accelerator", default="auto", help="cpu, cuda, mps, or auto for the best that exists")
    add("--devices", type=int, default=1, help="the number of GPUs")
    add("--workers", type=int, default=1, help="the number of processes with a model, on each device")
    given = parser.read(arguments)
    from seqkit.serve import serve  # here, so that a wrong argument or --help answers at once

    options = vars(given)
    serve(options.pop("ckpt_path"), **options)
