"""Several processes learn and encode rows on disk once; the others read the result."""

import json
import time

import pytest

from tests import processes

_ENCODER = """
import time
from pathlib import Path

from seqkit.data import Words

def note(line):
    with open("calls", "a") as file:
        file.write(line + "\\n")

class Slow(Words):
    def fit(self, dataset, column):
        note("fit")
        Path("started").touch()
        time.sleep(0.5)
        fitted = Words().fit(dataset, column)
        return Slow(tokenizer=fitted.tokenizer)

    def encode_array(self, values, feature):
        note(f"encode {len(values)}")
        return super().encode_array(values, feature)
"""
_RANKS = """
import json, sys
from functools import partial

import datasets, torch
from lightning.pytorch import Trainer, seed_everything

from seqkit import SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding
from own import Slow

seed_everything(0, verbose=False)
devices = int(sys.argv[1])
rows = datasets.load_from_disk("rows")
if sys.argv[2] == "memory":
    rows = datasets.DatasetDict({name: datasets.Dataset.from_dict(split[:]) for name, split in rows.items()})
data = SequenceDataModule(rows, inputs={"words": Slow()}, targets="tags", max_tokens=64)
model = Tagger(
    data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4),
    optimizer=partial(torch.optim.SGD, lr=0.1),
)
trainer = Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=2, logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    reload_dataloaders_every_n_epochs=1,
)
trainer.fit(model, data)
scores = trainer.validate(model, data, verbose=False)[0] | trainer.test(model, data, verbose=False)[0]
if trainer.is_global_zero:
    print("scores", json.dumps(scores))
"""
_ALONE = """
import datasets
from seqkit import SequenceDataModule
from own import Slow

data = SequenceDataModule(datasets.load_from_disk("rows"), inputs={"words": Slow()}, targets="tags", max_tokens=64)
print(data.spec["inputs"]["words"]["size"])
"""
_ENCODED_ONCE = ["encode 20", "encode 20", "encode 60"]  # validation, test, train


@pytest.fixture
def work(splits, tmp_path):
    """A function that runs a script, and returns its output and the calls of the encoder, sorted."""
    splits.save_to_disk(tmp_path / "rows")
    for name, content in (("own.py", _ENCODER), ("ranks.py", _RANKS), ("alone.py", _ALONE)):
        (tmp_path / name).write_text(content)

    def run(*arguments, ranks=1):
        (tmp_path / "calls").write_text("")
        done = processes.run(*arguments, ranks=ranks, cwd=tmp_path)
        return done.stdout, sorted((tmp_path / "calls").read_text().splitlines())

    return tmp_path, run


def scores(output):
    (line,) = [line for line in output.splitlines() if line.startswith("scores ")]
    return json.loads(line.removeprefix("scores "))


def test_two_ranks_learn_and_encode_once(work, loopback):
    _, run = work
    _, calls = run("ranks.py", 2, "disk", ranks=2)
    assert calls == [*_ENCODED_ONCE, "fit"]


@pytest.mark.slow
def test_rows_in_memory_are_encoded_once_in_each_process_and_stage(work, loopback):
    _, run = work
    in_memory, calls = run("ranks.py", 2, "memory", ranks=2)
    # fit reads train and validation, validate reads validation again, and test reads test
    assert calls == ["encode 20"] * 6 + ["encode 60"] * 2 + ["fit"] * 2
    on_disk, calls = run("ranks.py", 2, "disk", ranks=2)
    again, no_calls = run("ranks.py", 2, "disk", ranks=2)
    assert (calls, no_calls) == ([*_ENCODED_ONCE, "fit"], [])
    assert scores(in_memory) == scores(on_disk) == scores(again)


def test_processes_that_start_together_learn_once(work):
    folder, _ = work
    both = [processes.Process("alone.py", cwd=folder) for _ in range(2)]
    first, second = (process.wait() for process in both)
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout != ""
    assert (folder / "calls").read_text().splitlines() == ["fit"]


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_learns_stops_no_other(work):
    folder, run = work
    killed = processes.Process("alone.py", cwd=folder)
    while not (folder / "started").exists():
        assert killed.is_running()
        time.sleep(0.01)
    killed.kill()
    output, calls = run("alone.py")
    assert output.strip().isdigit()
    assert calls == ["fit"]
