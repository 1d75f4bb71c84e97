"""Two processes against one, as in tests/test_distributed.py, with several targets and a report."""

import json

import pytest
import torch

from tests import processes

_SCRIPT = """
import json
import sys
from functools import partial
from pathlib import Path

import datasets
import torch
from lightning.pytorch import Trainer, seed_everything

from seqkit import MultiTask, SequenceDataModule
from seqkit.callbacks import Report
from seqkit.nn import LSTM, Embedding

folder, devices, accumulate, max_tokens = Path(sys.argv[1]), *map(int, sys.argv[2:5])
seed_everything(0, verbose=False)
data = SequenceDataModule(
    datasets.load_from_disk(folder / "splits"), "words", ["tags", "label", "values"], max_tokens=max_tokens
)
model = MultiTask(
    data.spec, encoder=partial(LSTM, hidden_size=8), embedding=partial(Embedding, embedding_dim=8),
    weights={"label": 2.0}, optimizer=partial(torch.optim.SGD, lr=0.5),
)
own = folder / str(devices)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1,
    precision="64-true", accumulate_grad_batches=accumulate, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[Report(worst=6, folder=str(own))],
)
trainer.fit(model, data)
scores = trainer.test(model, data, verbose=False)[0]
if trainer.is_global_zero:
    torch.save(model.state_dict(), own / "model.pt")
    (own / "scores.json").write_text(json.dumps({"steps": trainer.global_step, **scores}))
"""


def run(folder, devices, accumulate, max_tokens):
    script = folder / "run.py"
    script.write_text(_SCRIPT)
    arguments = [str(folder), str(devices), str(accumulate), str(max_tokens)]
    processes.run(script, *arguments, ranks=devices, cwd=folder)
    return folder / str(devices)


@pytest.fixture(scope="module")
def runs(splits, tmp_path_factory, loopback):
    folder = tmp_path_factory.mktemp("distributed")
    splits.save_to_disk(folder / "splits")
    # One step on all rows in both: one batch, or two ranks with two micro-batches each.
    return run(folder, 1, 1, 10_000), run(folder, 2, 2, 150)


def test_two_ranks_step_and_score_as_one(runs):
    one, two = ({**json.loads((own / "scores.json").read_text())} for own in runs)
    assert one["steps"] == two["steps"] == 1
    assert one == pytest.approx(two, rel=1e-6)
    alone, together = (torch.load(own / "model.pt", weights_only=True) for own in runs)
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("column", ["tags", "label"])
def test_two_ranks_report_as_one(column, runs):
    one, two = (json.loads((own / f"test_{column}.json").read_text()) for own in runs)
    assert one["confusion"] == two["confusion"]
    for of in ("by_class", "means"):
        for name, scores in one[of].items():
            assert two[of][name] == pytest.approx(scores), name


@pytest.mark.parametrize("column", ["tags", "label", "values"])
def test_two_ranks_find_the_worst_rows_of_one(column, runs):
    files = [own / f"test_{column}_worst.jsonl" for own in runs]
    one, two = ([json.loads(line) for line in file.read_text().splitlines()] for file in files)
    assert len(one) == len(two) == 6
    assert [line["row"] for line in one] == [line["row"] for line in two]
    assert [line["loss"] for line in one] == pytest.approx([line["loss"] for line in two])
