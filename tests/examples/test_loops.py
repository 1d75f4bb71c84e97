"""The examples in loops of other libraries run and learn, in one process and in two."""

import random
import re
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import processes

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments, ranks=1, folder):
    """Run an example in a new process, because these libraries keep global state; return what it prints."""
    return processes.run(EXAMPLES / f"{name}.py", *arguments, ranks=ranks, cwd=folder).stdout


def check_epochs(output, rows, epochs=3):
    """Every epoch sees each row once, and its loss is lower than that of the epoch before."""
    lines = re.findall(r"^epoch (\d+): (\d+) steps, (\d+) rows, loss ([\d.]+)$", output, re.MULTILINE)
    assert [int(line[0]) for line in lines] == list(range(epochs)), output
    assert [int(line[2]) for line in lines] == [rows] * epochs
    losses = [float(line[3]) for line in lines]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.25  # always "no record": 0.50


def test_fabric(tmp_path):
    check_epochs(run("fabric_loop", "--rows", "600", "--accelerator", "cpu", folder=tmp_path), 600)


@pytest.mark.slow
def test_fabric_on_two_processes(tmp_path):
    output = run("fabric_loop", "--rows", "600", "--accelerator", "cpu", "--devices", "2", folder=tmp_path)
    check_epochs(output, 600)


def test_accelerate(tmp_path):
    pytest.importorskip("accelerate")
    check_epochs(run("accelerate_loop", "--rows", "600", "--cpu", folder=tmp_path), 600)


@pytest.mark.slow
def test_accelerate_on_two_processes(tmp_path):
    pytest.importorskip("accelerate")
    check_epochs(run("accelerate_loop", "--rows", "600", "--cpu", ranks=2, folder=tmp_path), 600)


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_transformers(tmp_path, ranks):
    pytest.importorskip("transformers")
    output = run("transformers_trainer", "--rows", "600", "--cpu", ranks=ranks, folder=tmp_path)
    found = re.search(r"^(\d+) steps; loss by epoch: ([\d.]+) ([\d.]+) ([\d.]+)$", output, re.MULTILINE)
    assert found, output
    losses = [float(loss) for loss in found.groups()[1:]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.25


@pytest.fixture
def random_state():
    """Restore the random states that ``set_seed`` changes."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002


@pytest.mark.usefixtures("random_state")
@pytest.mark.filterwarnings("default")  # warnings of transformers
@pytest.mark.parametrize("accumulate", [1, 2])
def test_transformers_resumes_in_mid_epoch(load, tmp_path, accumulate):
    transformers = pytest.importorskip("transformers")
    example = load("transformers_trainer")
    dataset = example.records(200, torch.Generator().manual_seed(0))

    class Recording(example.PackedTrainer):
        def compute_loss(self, model, inputs, *rest, **named):
            self.seen.append(inputs.targets["row"].tolist())
            return super().compute_loss(model, inputs, *rest, **named)

    def train(resume=None):
        trainer = Recording(
            max_tokens=256,
            model=example.RecordTagger(4),
            train_dataset=dataset,
            data_collator=example.PackCollate("series", targets=["is_record", "row"]),
            args=transformers.TrainingArguments(
                output_dir=str(tmp_path),
                num_train_epochs=3,
                gradient_accumulation_steps=accumulate,
                save_steps=1,
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            ),
        )
        trainer.seen = []
        trainer.train(resume_from_checkpoint=resume)
        return trainer.seen, len(trainer.sampler)

    whole, batches = train()
    epochs = [whole[start : start + batches] for start in range(0, len(whole), batches)]
    assert [Counter(chain.from_iterable(epoch)) for epoch in epochs] == [Counter(range(200))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    steps = -(-batches // accumulate)  # of an epoch
    for step in (1, steps, steps + 2):
        tail, _ = train(str(tmp_path / f"checkpoint-{step}"))
        assert tail == whole[step // steps * batches + step % steps * accumulate :], step


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata 0.11 on torch 2.13
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 8])
def test_stateful_loader(load, capsys, workers, stop):
    pytest.importorskip("torchdata.stateful_dataloader")
    load("stateful_loader").main(["--workers", str(workers), "--stop", str(stop)])
    assert capsys.readouterr().out.splitlines() == [
        f"stopped after {stop} of 20 batches of epoch 1",
        f"continued with {20 - stop} batches",
        "the same batches as without the stop: True",
        "every row once: True",
        "epoch 2 has 20 batches",
    ]


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("form", ["sampler", "batch_sampler"])
def test_stateful_loader_wherever_it_stops(load, form):
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    example = load("stateful_loader")
    dataset = example.series(60, torch.Generator().manual_seed(0))

    def make():
        sampler = example.LengthBucketSampler(example.lengths(dataset, "series"), max_tokens=60)
        form_of = {"sampler": sampler, "batch_size": None} if form == "sampler" else {"batch_sampler": sampler}
        loader = stateful.StatefulDataLoader(
            dataset, collate_fn=example.PackCollate("series", targets="row"), **form_of
        )
        return sampler, loader

    sampler, loader = make()
    sampler.set_epoch(2)
    whole = [example.rows_of(batch) for batch in loader]
    for stop in range(len(whole) + 1):
        sampler, loader = make()
        sampler.set_epoch(2)
        batches = iter(loader)
        before = [example.rows_of(next(batches)) for _ in range(stop)]
        _, resumed = make()
        resumed.load_state_dict(loader.state_dict())
        assert before + [example.rows_of(batch) for batch in resumed] == whole, stop
