"""From a checkpoint to a server: train a model, load it, share it, export it, serve it, and ask it.

    python examples/tutorials/serve_a_model.py

The model learns which kind each character of Python code is: keyword, string, comment … It reads the standard
library of your Python, so it needs no data.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from lightning.pytorch import Trainer

import seqkit
from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import BestCheckpoint, Progress
from seqkit.data import PythonCode
from seqkit.export import to_onnx
from seqkit.nn import LSTM, Embedding
from seqkit.optim import WarmupCosine

sys.path.append(str(Path(__file__).absolute().parents[1]))
from onnx_client import Model  # examples/onnx_client.py

CODE = "def area(r):\n    return 3.14 * r ** 2  # of a circle"


def shown(code: str, kinds: Sequence[str]) -> str:
    """Write each run of characters of one kind, with the kind, in a line."""
    runs = groupby(zip(code, kinds, strict=True), key=lambda pair: pair[1])
    texts = [("".join(character for character, _ in run), kind) for kind, run in runs]
    return "\n".join(f"{text:14} {kind}" for text, kind in texts if kind != "whitespace")


@contextlib.contextmanager
def server(model: str, port: int) -> Iterator[str]:
    """Serve a model in a process of its own while the block runs, and yield the address."""
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "seqkit", "serve", "--ckpt_path", model, "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        while True:
            if process.poll() is not None:
                sys.exit("the server has ended; its message is above")
            with contextlib.suppress(URLError), urlopen(f"{address}/health"):
                break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def ask(address: str, body: dict[str, Any]) -> Any:
    """Return the server's predictions, or its message if it refuses a row."""
    request = Request(f"{address}/predict", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request) as answer:
            return json.load(answer)
    except HTTPError as error:
        with error:
            return json.load(error)["detail"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=3_000_000, help="how much code to read")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the code (default 2)")
    parser.add_argument("--port", type=int, default=8000, help="the port of the server (default 8000)")
    parser.add_argument("--output", type=Path, default=Path("code-tagger"), help="a folder (default code-tagger)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with contextlib.chdir(options.output):
        tutorial(PythonCode(max_characters=options.characters), options.epochs, options.port)


def tutorial(source: PythonCode, epochs: int, port: int) -> None:
    """Run all parts; the files are in the working directory."""
    print("1. Train")
    data = SequenceDataModule(source, inputs="text", targets="kinds", max_tokens=4096)
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=32),
        encoder=partial(LSTM, hidden_size=96, bidirectional=True),
        optimizer=partial(torch.optim.Adam, lr=8e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0),
    )
    trainer = Trainer(
        max_epochs=epochs,
        gradient_clip_val=1.0,
        callbacks=[Progress(), BestCheckpoint(dirpath="checkpoints")],
        logger=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)

    print("\n2. Load and predict")
    model = seqkit.load("checkpoints/best.ckpt")
    print(shown(CODE, model.predict(CODE)["kinds"]))

    print("\n3. Share")
    model.save_pretrained("model", data="the standard library of Python", license="apache-2.0")
    print(*sorted(path.name for path in Path("model").iterdir()))

    print("\n4. Export")
    to_onnx(model, "model.onnx")
    texts = data.splits["test"]["text"][:]
    own, exported = model.predict(texts), Model("model.onnx").predict(texts)
    pairs = [pair for a, b in zip(own, exported, strict=True) for pair in zip(a["kinds"], b["kinds"], strict=True)]
    equal = sum(label == other for label, other in pairs)
    print(f"ONNX Runtime gives {equal:,} of {len(pairs):,} labels as torch does")

    print("\n5. Serve and ask", flush=True)  # before the server prints
    with server("model", port) as address:
        answer = ask(address, {"row": CODE})
        print("the server answers what the model predicts:", answer == model.predict(CODE))
        rows = ["x = 1", "# x = 1"]
        for row, found in zip(rows, ask(address, {"rows": rows}), strict=True):
            print(shown(row, found["kinds"]))
        print("a wrong row:", ask(address, {"row": 5}), flush=True)


if __name__ == "__main__":
    main()
