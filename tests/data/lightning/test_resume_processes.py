"""Interrupted runs continue in Lightning with the same batches, also on another number of processes."""

import json

import pytest

from seqkit.data import LengthBucketSampler
from tests import processes
from tests.data.lightning.cases import EPOCHS, make

_SCRIPT = """
import json, sys
from pathlib import Path

import datasets
from lightning.pytorch import Trainer

from tests.data.lightning.cases import Recorder, SaveAt, make

folder, devices = Path(sys.argv[1]), int(sys.argv[2])
splits = datasets.load_from_disk(folder / "splits")
for name, resume, cuts, workers in json.loads(sys.argv[3]):
    model = Recorder(counts_steps=True)
    trainer = Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", max_epochs=3, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[SaveAt(cuts, folder / name)], val_check_interval=0.5, default_root_dir=folder,
    )
    options = {"ckpt_path": folder / resume, "weights_only": True} if resume else {}
    trainer.fit(model, make(splits, num_workers=workers), **options)
    (folder / name).mkdir(exist_ok=True)
    seen = {"seen": model.seen, "validated": model.validated}
    (folder / name / f"{trainer.global_rank}.json").write_text(json.dumps(seen))
"""


def run(folder, devices, *jobs):
    script = folder / "run.py"
    script.write_text(_SCRIPT)
    processes.run(script, folder, devices, json.dumps(jobs), ranks=devices, cwd=folder)


def planned(splits, ranks):
    lengths = make(splits).rows("train").lengths
    return len(LengthBucketSampler(lengths, max_tokens=32, num_replicas=ranks, rank=0))


CUTS = ["first", "middle", "next to last", "last", "of epoch 1"]


def cuts(splits, ranks):
    steps = planned(splits, ranks)
    return dict(zip(CUTS, [1, steps // 2, steps - 1, steps, steps + 3], strict=True))


@pytest.fixture(scope="module")
def folder(splits, tmp_path_factory, loopback):
    """Run two processes and one process, and resume each on the other number from several positions."""
    folder = tmp_path_factory.mktemp("processes")
    splits.save_to_disk(folder / "splits")
    two, one = cuts(splits, 2), cuts(splits, 1)
    run(folder, 2, ["2", "", [*two.values()], 0])
    to_one = [[f"2 to 1, {cut}", f"2/{two[cut]}.ckpt", [2], 2 * (cut == "middle")] for cut in CUTS]
    run(folder, 1, ["1", "", [*one.values()], 0], *to_one)
    to_two = [[f"1 to 2, {cut}", f"1/{one[cut]}.ckpt", [], 2 * (cut == "middle")] for cut in CUTS]
    run(folder, 2, *to_two, ["2 to 1 to 2", "2 to 1, first/2.ckpt", [], 0])
    return folder


def ranks_of(folder, name):
    ranks = [json.loads(file.read_text()) for file in sorted((folder / name).glob("*.json"))]
    assert len({len(rank["seen"]) for rank in ranks}) == 1
    return ranks


def rows_by_epoch(parts):
    """Return the rows of each epoch from runs, given as (ranks, number of steps that count)."""
    epochs = [[] for _ in range(EPOCHS)]
    for ranks, steps in parts:
        for rank in ranks:
            for epoch, _, rows in rank["seen"][:steps]:
                epochs[epoch] += rows
    return [sorted(rows) for rows in epochs]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_processes_loses_and_repeats_no_row(folder, splits, before, after, cut):
    resumed = ranks_of(folder, f"{before} to {after}, {cut}")
    cut = cuts(splits, before)[cut]
    assert len(resumed) == after
    assert rows_by_epoch([(ranks_of(folder, str(before)), cut), (resumed, None)]) == [list(range(60))] * EPOCHS

    # Lightning continues its count in the interrupted epoch; later epochs have the length for the new number.
    epoch, begun = divmod(cut, planned(splits, before))
    lengths = {number: sum(e == number for e, _, _ in resumed[0]["seen"]) for number in range(epoch, EPOCHS)}
    lengths[epoch] += begun
    assert [lengths[number] for number in range(epoch + bool(begun), EPOCHS)] == [planned(splits, after)] * (
        EPOCHS - epoch - bool(begun)
    )
    counted = [(number, index) for number, length in lengths.items() for index in range(length)][begun:]
    assert [(number, index) for number, index, _ in resumed[0]["seen"]] == counted
    # Validation runs twice an epoch, at any length of the epoch.
    expected = [
        count for count, (number, index) in enumerate(counted, 1) if (index + 1) % max(lengths[number] // 2, 1) == 0
    ]
    assert [count for count in resumed[0]["validated"] if count] == expected


def test_two_changes_of_the_number_of_processes_in_one_epoch(folder, splits):
    parts = [
        (ranks_of(folder, "2"), 1),
        (ranks_of(folder, "2 to 1, first"), 2),
        (ranks_of(folder, "2 to 1 to 2"), None),
    ]
    assert rows_by_epoch(parts) == [list(range(60))] * EPOCHS
