"""CTC recognisers in other processes: from a checkpoint alone, and on two ranks."""

import json

import datasets
import pytest
import torch

from tests import processes
from tests.tasks.ctc_cases import build

_AGAIN = """
import json, sys
import datasets
from lightning.pytorch import Trainer
from seqkit import CTCRecognizer, SequenceDataModule

model = CTCRecognizer.load_from_checkpoint(sys.argv[1], weights_only=True)
data = SequenceDataModule(datasets.load_from_disk(sys.argv[2]), spec=model.spec, max_tokens=32)
trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                  enable_checkpointing=False)
scores = trainer.test(model, data, verbose=False)[0]
found = [list(pair) for rows, columns in trainer.predict(model, data) for pair in zip(rows, columns["phones"])]
print(json.dumps([scores, sorted(found)]))
"""


def test_a_checkpoint_alone_predicts_in_a_new_process(words, trainer, tmp_path):
    model, data = build(words, beam_width=3)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    (scores,) = run.test(model, data, verbose=False)
    words.save_to_disk(tmp_path / "words")
    (tmp_path / "again.py").write_text(_AGAIN)
    done = processes.run("again.py", "model.ckpt", "words", cwd=tmp_path)
    theirs, found = json.loads(done.stdout.splitlines()[-1])
    assert theirs == pytest.approx(scores)
    mine = [
        [row, said]
        for rows, columns in run.predict(model, data)
        for row, said in zip(rows, columns["phones"], strict=True)
    ]
    assert found == sorted(mine)


_RANKS = """
import json, sys
from functools import partial
import datasets
import torch
from lightning.pytorch import Trainer, seed_everything
from seqkit import CTCRecognizer, SequenceDataModule
from seqkit.data import LabelSequences
from seqkit.nn import LSTM, Embedding, Stack, Upsample

devices = int(sys.argv[1])
seed_everything(0, verbose=False)
data = SequenceDataModule(
    datasets.load_from_disk("words"), "word", {"phones": LabelSequences()}, max_tokens=10_000 // devices
)
layers = [partial(LSTM, hidden_size=8, bidirectional=True), partial(Upsample, output_size=8)]
model = CTCRecognizer(
    data.spec, encoder=partial(Stack, layers=layers), embedding=partial(Embedding, embedding_dim=8),
    optimizer=partial(torch.optim.SGD, lr=0.1), beam_width=3,
)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=1, logger=False,
    precision="64-true", enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(model, data)
torch.manual_seed(100 + trainer.global_rank)  # a random state of its own for each rank
own = torch.get_rng_state()
trainer.save_checkpoint(f"{devices}.ckpt")
trainer.training = True  # as when a fit resumes
model.on_load_checkpoint(torch.load(f"{devices}.ckpt", weights_only=True))
assert torch.equal(model._random_state["seqkit_rng_state"], own)
scores = dict(trainer.callback_metrics) | trainer.test(model, data, verbose=False)[0]
if trainer.is_global_zero:
    weights = {name: weight.tolist() for name, weight in model.state_dict().items()}
    with open(f"{devices}.json", "w") as file:
        json.dump([{name: float(value) for name, value in scores.items()}, weights], file)
"""


def test_two_ranks_give_the_step_and_the_metrics_of_one(words, tmp_path, loopback):
    rows = {split: part.to_dict() for split, part in words.items()}
    for part in rows.values():
        for row in range(0, 20, 2):
            part["phones"][row] = [["K"] * 30]  # cannot be aligned
    made = {split: datasets.Dataset.from_dict(part) for split, part in rows.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "words")
    (tmp_path / "ranks.py").write_text(_RANKS)
    found, said = [], []
    for devices in (1, 2):
        done = processes.run("ranks.py", devices, ranks=devices, cwd=tmp_path)
        said.append([line for line in done.stderr.splitlines() if line.startswith("rows of")])
        found.append(json.loads((tmp_path / f"{devices}.json").read_text()))
    (one, alone), (two, together) = found
    assert one["train_infeasible"] == one["val_infeasible"] == one["test_infeasible"] == 10
    assert said[0] == said[1]  # the rows of all ranks
    assert len(said[0]) == 3
    assert all(line.endswith("loss: 0, 2, 4, 6, 8, 10, 12, 14, 16, 18") for line in said[0])
    assert one.keys() == two.keys()
    of_one_batch = {"train_loss", "train_label_error_rate", "train_sequence_error_rate"}
    for name in one.keys() - of_one_batch:
        assert two[name] == pytest.approx(one[name], rel=1e-6), name
    for name, weight in alone.items():
        torch.testing.assert_close(torch.tensor(together[name]), torch.tensor(weight), rtol=1e-6, atol=1e-9)
