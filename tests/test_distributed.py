"""Two processes compared with one, each run as a script with default flags."""

import json
import subprocess
import sys
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer

from seqkit import SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding
from tests import processes

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")

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
streaming = sys.argv[6] == "True"
name = f"{devices}x{accumulate}{'-stream' if streaming else ''}"
seed_everything(0, verbose=False)
data = SequenceDataModule(
    datasets.load_from_disk(folder / "splits"), inputs="words", targets="tags", max_tokens=max_tokens,
    streaming=streaming, pool=1000,
)
model = Tagger(
    data.spec,
    encoder=partial(LSTM, hidden_size=8, bidirectional=True),
    embedding=partial(Embedding, embedding_dim=8),
    optimizer=partial(torch.optim.SGD, lr=1.0),
)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1,
    precision=precision, accumulate_grad_batches=accumulate, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False,
    callbacks=[] if streaming else [PredictionWriter(str(folder / f"{name}.jsonl"))],
)
trainer.fit(model, data)
scores = trainer.validate(model, data, verbose=False)[0] | trainer.test(model, data, verbose=False)[0]
if not streaming:
    trainer.predict(model, data, return_predictions=False)
if trainer.is_global_zero:
    torch.save(model.state_dict(), folder / f"{name}.pt")
    (folder / f"{name}.json").write_text(json.dumps({"steps": trainer.global_step, **scores}))
"""


def run(folder, devices, accumulate, max_tokens, precision="64-true", *, streaming=False):
    script = folder / "run.py"
    script.write_text(_SCRIPT)
    arguments = [str(folder), str(devices), str(accumulate), str(max_tokens), precision, str(streaming)]
    if devices == 2 and not streaming:  # Lightning starts the other rank
        subprocess.run([sys.executable, str(script), *arguments], check=True, timeout=240, cwd=folder)
    else:
        processes.run(script, *arguments, ranks=devices, cwd=folder)
    name = f"{devices}x{accumulate}{'-stream' if streaming else ''}"
    written = folder / f"{name}.jsonl"
    predictions = [json.loads(line) for line in written.read_text().splitlines()] if written.exists() else []
    return (
        torch.load(folder / f"{name}.pt", weights_only=True),
        json.loads((folder / f"{name}.json").read_text()),
        predictions,
    )


@pytest.fixture(scope="module")
def runs(splits, tmp_path_factory, loopback):
    folder = tmp_path_factory.mktemp("distributed")
    splits.save_to_disk(folder / "splits")
    # Both take one step on all rows: one batch, or two ranks with two micro-batches each.
    return run(folder, 1, 1, 10_000), run(folder, 2, 2, 150), run(folder, 2, 1, 40, streaming=True)


def test_two_ranks_with_two_micro_batches_step_as_one_process_with_one_batch(runs):
    (single, one, _), (distributed, two, _), _ = runs
    assert one["steps"] == two["steps"] == 1
    for name, weight in single.items():
        torch.testing.assert_close(distributed[name], weight, rtol=1e-10, atol=1e-12)


def test_two_ranks_give_the_metrics_of_one(runs):
    (_, one, _), (_, two, _), _ = runs
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-6), name


def test_two_ranks_predict_every_row_once_in_order(runs):
    (_, _, one), (_, _, two), _ = runs
    assert [line["row"] for line in two] == list(range(20))
    assert one == two


def test_two_ranks_fit_on_a_stream_and_test_every_row_once(runs, splits):
    weights, scores, _ = runs[-1]
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=64)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=8, bidirectional=True),
        embedding=partial(Embedding, embedding_dim=8),
    ).double()
    model.load_state_dict(weights)
    trainer = Trainer(
        accelerator="cpu", precision="64-true", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    single = trainer.test(model, data, verbose=False)[0]
    assert scores["steps"] > 1
    for name, value in single.items():
        assert scores[name] == pytest.approx(value, rel=1e-6), name
