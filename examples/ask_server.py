"""Ask a server that `python -m seqkit serve` runs, with nothing but the standard library.

    python -m seqkit serve --ckpt_path runs/highlight/version_0/checkpoints/best.ckpt
    python examples/ask_server.py "def f(x):" "# a comment"
    python examples/ask_server.py --words "the dog barks"          # for a model that reads words
    python examples/ask_server.py --json "[[0.1, 2.0], [0.2, 1.5]]"  # for a model that reads numbers

Each argument is a row. All rows are one request.
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any


def ask(url: str, rows: list[Any], *, scores: bool = False) -> list[dict[str, Any]]:
    """Return the predictions of some rows.

    Args:
        url: The server's address.
        rows: Raw values of the model's input, or a dict with a value for each column.
        scores: Whether to return probabilities, too.

    Raises:
        ValueError: The server refuses the rows; its message says why.
    """
    body = json.dumps({"rows": rows, "scores": scores}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            found: list[dict[str, Any]] = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            raise ValueError(json.load(error)["detail"]) from None
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example.

    Args:
        arguments: The command-line arguments, by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="+", help="the rows")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server's address")
    parser.add_argument("--scores", action="store_true", help="print probabilities, too")
    parser.add_argument("--words", action="store_true", help="split the rows at blanks")
    parser.add_argument("--json", action="store_true", help="the rows are JSON")
    given = parser.parse_args(arguments)
    rows: list[Any] = given.rows
    if given.words:
        rows = [row.split() for row in rows]
    elif given.json:
        rows = [json.loads(row) for row in rows]
    try:
        found = ask(given.url, rows, scores=given.scores)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for line in found:
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
