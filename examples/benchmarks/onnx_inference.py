"""Compare a model exported to ONNX, and its int8 form, with seqkit's own inference.

    python examples/benchmarks/onnx_inference.py DIR [--ckpt_path FILE] [--output FILE]

The model is that of configs/ewt_upos.yaml; without a checkpoint it is trained first, for ``--epochs``. The rows
are the raw sentences of en_ewt-ud-test.conllu[.gz] in ``DIR``, so encoding counts: ``model.predict`` beside the
client examples/onnx_client.py with a file in float32 and one in int8 (dynamic quantisation of onnxruntime).
Predictions are compared before anything is timed. Throughput is that of all rows in one call, latency that of calls
with one row each. The contenders run in turns with the same number of threads.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import ROOT, find, in_turns, medians, options, setting, write_json
from onnxruntime.quantization import QuantType, quantize_dynamic

from seqkit import Tagger
from seqkit.cli import main as seqkit_main
from seqkit.data import CoNLL
from seqkit.export import to_onnx

sys.path.append(str(ROOT / "examples"))
from onnx_client import Model

Rows = list[list[str]]
Predict = Callable[[Any], Any]


def train(folder: Path, epochs: int, output: Path) -> str:
    """Train configs/ewt_upos.yaml and return the path of its best checkpoint."""
    source = "--data.source.init_args"
    splits = {"train": "train", "validation": "dev", "test": "test"}
    files = [f"{source}.{split}={find(folder, f'en_ewt-ud-{name}.conllu')}" for split, name in splits.items()]
    limits = [f"--trainer.max_epochs={epochs}", f"--trainer.default_root_dir={output}"]
    cli = seqkit_main(["fit", "--config", str(ROOT / "configs" / "ewt_upos.yaml"), *files, *limits])
    return str(cli.trainer.checkpoint_callback.best_model_path)


def accuracy(found: Sequence[dict[str, Any]], true: Sequence[Sequence[str]], target: str) -> float:
    """Return the share of the tokens whose label is the true one."""
    pairs = [pair for row, tags in zip(found, true, strict=True) for pair in zip(row[target], tags, strict=True)]
    return sum(label == tag for label, tag in pairs) / len(pairs)


def one_by_one(predict: Predict, rows: Rows) -> Callable[[], object]:
    """Return a function that predicts each row in a call of its own."""
    return lambda: [predict([row]) for row in rows]


def compare(model: Tagger, rows: Rows, true: Sequence[Sequence[str]], given: argparse.Namespace) -> dict[str, Any]:
    """Export the model, compare predictions, and time the contenders."""
    (target,) = model.spec["targets"]
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in ("float32", "int8")}
        to_onnx(model, paths["float32"])
        quantize_dynamic(paths["float32"], paths["int8"], weight_type=QuantType.QInt8)
        sizes = {f"ONNX {name}": path.stat().st_size / 2**20 for name, path in paths.items()}
        threads = torch.get_num_threads()
        contenders: dict[str, Predict] = {"seqkit": lambda rows: model.predict(rows, progress=False)}
        contenders |= {f"ONNX {name}": Model(path, threads=threads).predict for name, path in paths.items()}
    found = {name: predict(rows) for name, predict in contenders.items()}
    own = [row[target] for row in found["seqkit"]]
    alike = {name: accuracy(predicted, own, target) for name, predicted in found.items()}
    assert alike["ONNX float32"] > 0.9999, f"the exported model predicts other labels: {alike}"
    tokens = sum(map(len, rows))
    all_rows = in_turns({name: (lambda f=predict: f(rows)) for name, predict in contenders.items()}, given.rounds)
    every = max(1, len(rows) // given.single)
    some = sorted(rows, key=len)[::every]
    alone = in_turns({name: one_by_one(predict, some) for name, predict in contenders.items()}, given.rounds)
    return {
        "rows": len(rows),
        "tokens": tokens,
        "accuracy": {name: accuracy(predicted, true, target) for name, predicted in found.items()},
        "labels of seqkit": alike,
        "MB": {"seqkit": sum(p.numel() for p in model.parameters()) * 4 / 2**20, **sizes},
        "tokens/s": {name: tokens / seconds for name, seconds in medians(all_rows).items()},
        "ms a row": {name: 1e3 * seconds / len(some) for name, seconds in medians(alone).items()},
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the comparison and print the figures."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ckpt_path", help="the checkpoint of a tagger of upos; by default one is trained")
    parser.add_argument("--epochs", type=int, default=2, help="of that training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--single", type=int, default=200, help="number of rows that are predicted one by one")
    given = parser.parse_args(arguments)
    test = CoNLL(train=str(find(given.folder, "en_ewt-ud-test.conllu"))).load()["train"]
    with tempfile.TemporaryDirectory() as runs:
        path = given.ckpt_path or train(given.folder, given.epochs, Path(runs))
        model = Tagger.load_from_checkpoint(path, map_location="cpu")
    found = compare(model, test["form"][:], test["upos"][:], given)
    for name in found["accuracy"]:
        print(
            f"{name:13} {found['accuracy'][name]:.4f} accurate, {found['MB'][name]:5.1f} MB, "
            f"{found['tokens/s'][name]:7,.0f} tokens/s, {found['ms a row'][name]:6.2f} ms a row"
        )
    record = {**setting("onnx", "onnxruntime"), **found}
    write_json(given.output, record)
    return record


if __name__ == "__main__":
    main()
