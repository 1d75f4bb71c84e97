"""Two processes against one, each run as a user would: a script with default flags."""

import json
import socket
import subprocess
import sys

import pytest
import torch

_SCRIPT = """
import json
import sys
from functools import partial
from pathlib import Path

import datasets
import torch
from lightning.pytorch import Trainer, seed_everything

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import PredictionWriter
from seqkit.nn import LSTM, Embedding

folder, devices, accumulate, max_tokens, precision = Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5]
name = f"{devices}x{accumulate}"
seed_everything(0, verbose=False)
data = SequenceDataModule(
    datasets.load_from_disk(folder / "splits"), inputs="words", targets="tags", max_tokens=max_tokens
)
model = Tagger(
    data.spec,
    partial(LSTM, hidden_size=8, bidirectional=True),
    partial(Embedding, embedding_dim=8),
    optimizer=partial(torch.optim.SGD, lr=1.0),
)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1,
    precision=precision, accumulate_grad_batches=accumulate, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
    callbacks=[PredictionWriter(str(folder / f"{name}.jsonl"))],
)
trainer.fit(model, data)
scores = trainer.validate(model, data, verbose=False)[0] | trainer.test(model, data, verbose=False)[0]
trainer.predict(model, data, return_predictions=False)
if trainer.is_global_zero:
    torch.save(model.state_dict(), folder / f"{name}.pt")
    (folder / f"{name}.json").write_text(json.dumps({"steps": trainer.global_step, **scores}))
"""


def run(folder, devices, accumulate, max_tokens, precision="64-true"):
    script = folder / "run.py"
    script.write_text(_SCRIPT)
    arguments = [str(folder), str(devices), str(accumulate), str(max_tokens), precision]
    subprocess.run([sys.executable, str(script), *arguments], check=True, timeout=240, cwd=folder)
    name = f"{devices}x{accumulate}"
    predictions = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return (
        torch.load(folder / f"{name}.pt", weights_only=True),
        json.loads((folder / f"{name}.json").read_text()),
        predictions,
    )


@pytest.fixture(scope="module")
def runs(splits, tmp_path_factory):
    if not torch.distributed.is_available() or not _loopback():
        pytest.skip("no torch.distributed over loopback here")
    folder = tmp_path_factory.mktemp("distributed")
    splits.save_to_disk(folder / "splits")
    # One step on all rows in both: one batch, or two ranks with two micro-batches each.
    return run(folder, 1, 1, 10_000), run(folder, 2, 2, 150)


def _loopback():
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError:
        return False
    return True


def test_two_ranks_with_two_micro_batches_step_as_one_process_with_one_batch(runs):
    (alone, one, _), (together, two, _) = runs
    assert one["steps"] == two["steps"] == 1
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-10, atol=1e-12)


def test_two_ranks_give_the_metrics_of_one(runs):
    (_, one, _), (_, two, _) = runs
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6), name


def test_two_ranks_predict_every_row_once_in_order(runs):
    (_, _, one), (_, _, two) = runs
    assert [line["row"] for line in two] == list(range(20))
    assert one == two
