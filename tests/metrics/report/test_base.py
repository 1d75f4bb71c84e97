"""Every report metric: merged states, reset, and two processes against one."""

import json
from pathlib import Path

import pytest
import torch

from seqkit import packed
from seqkit.metrics import (
    ClassReport,
    EditReport,
    LabelReport,
    PositionReport,
    ReportMetric,
    SpanReport,
    TokenReport,
    ValueReport,
    readable,
)
from tests import processes


def token_names(ids):
    return [f"w{i}" for i in ids]


def metrics():
    """One of each, by name."""
    return {
        "classes": ClassReport(["a", "b", "c"]),
        "labels": LabelReport(["a", "b"]),
        "spans": SpanReport(["O", "B-x", "I-x"]),
        "values": ValueReport(["all", "last"]),
        "edits": EditReport(["a", "b"]),
        "tokens": TokenReport(3, token_names),
        "positions": PositionReport(),
    }


def inputs(seed):
    """The arguments of one update of each, by name."""
    draw = torch.Generator().manual_seed(seed)
    ids, other = (torch.randint(0, 3, (6,), generator=draw) for _ in range(2))
    nll = torch.rand(6, generator=draw)
    flags = torch.randint(0, 2, (2, 4, 2), generator=draw)
    lengths = torch.tensor([3, 2, 1])
    labels = [torch.randint(0, 2, (6,), generator=draw) for _ in range(2)]
    return {
        "classes": (ids, other),
        "labels": (flags[0], flags[1]),
        "spans": (packed.pack(ids, lengths), packed.pack(other, lengths)),
        "values": ((nll, nll + 1), (nll[:2], nll[:2] * 2)),
        "edits": tuple(packed.pack(side, lengths) for side in labels),
        "tokens": (nll, ids),
        "positions": (packed.pack(nll, lengths),),
    }


NAMES = list(metrics())


@pytest.mark.parametrize("name", NAMES)
def test_merged_states_equal_one_metric_with_all_batches(name):
    one, first, second = (metrics()[name] for _ in range(3))
    for seed in (0, 1, 2):
        one.update(*inputs(seed)[name])
    first.update(*inputs(2)[name])
    for seed in (0, 1):
        second.update(*inputs(seed)[name])
    first.merge_state(second)
    assert same(first.to_python(), one.to_python())
    assert first.table().header == one.table().header


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets_all_batches(name):
    metric, fresh = metrics()[name], metrics()[name]
    metric.update(*inputs(0)[name])
    assert metric.to_python()
    metric.reset()
    for each in (metric, fresh):
        each.update(*inputs(1)[name])
    assert metric.to_python() == fresh.to_python()


RANK = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
import test_base
rank, meet = int(sys.argv[2]), sys.argv[3]
torch.distributed.init_process_group("gloo", init_method="file://" + meet, rank=rank, world_size=2)
found = {}
for name, metric in test_base.metrics().items():
    if rank == 0:  # the other rank has no batch
        metric.update(*test_base.inputs(0)[name])
    empty = metric.to_python()
    metric.reset()
    metric.update(*test_base.inputs(rank)[name])
    found[name] = [empty, metric.to_python()]
json.dump(found, open(f"{meet}.{rank}", "w"))
torch.distributed.destroy_process_group()
"""


def test_two_ranks_report_as_one_process(tmp_path):
    meet = str(tmp_path / "meet")
    ranks = [processes.Process("-c", RANK, Path(__file__).parent, rank, meet) for rank in range(2)]
    assert [rank.wait().returncode for rank in ranks] == [0, 0]
    for rank in range(2):
        found = json.loads((tmp_path / f"meet.{rank}").read_text())
        for name, metric in metrics().items():
            metric.update(*inputs(0)[name])
            assert same(found[name][0], metric.to_python()), name  # one rank without batches
            metric.update(*inputs(1)[name])
            assert same(found[name][1], metric.to_python()), name


def same(one, other):
    """Compare plain values, floats by their nearness."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other)


def test_a_metric_without_a_figure_draws_nothing():
    class Rows(ReportMetric):
        update = compute = table = to_python = lambda self: {}

    assert Rows().plot() is None


@pytest.mark.parametrize(
    ("name", "expected"), [("a", "a"), ("a b", "a b"), (" ", "' '"), ("\n", "'\\n'"), ("", "''")]
)
def test_readable_names(name, expected):
    assert readable(name) == expected
