import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from seqkit.data import PackedStream, StreamLoader
from tests import processes


def rows_of(lengths):
    rows = [[row] * length for row, length in enumerate(lengths)]
    return Dataset.from_dict({"id": list(range(len(lengths))), "x": rows})


def lengths_like_sentences(rows):
    return np.random.default_rng(0).lognormal(2.4, 0.9, rows).clip(1, 159).astype(int)


def stream_of(lengths, num_shards=4, **options):
    dataset = rows_of(lengths).to_iterable_dataset(num_shards=num_shards)
    return PackedStream(dataset, ["x"], ["id"], **{"pool": 50, "max_tokens": 200, **options})


def ids(batches):
    return [batch.targets["id"].tolist() for batch in batches]


@pytest.mark.parametrize("shards", [1, 4])
def test_workers_read_shares(shards):
    loader = StreamLoader(stream_of(lengths_like_sentences(300), shards), num_workers=2)
    for _ in range(2):
        assert Counter(row for batch in ids(loader) for row in batch) == Counter(range(300))


class TestResume:
    @settings(max_examples=10, deadline=None)
    @given(st.data())
    def test_the_remaining_batches_are_those_of_the_uninterrupted_epoch(self, data):
        lengths = lengths_like_sentences(260)
        shards, epoch = data.draw(st.sampled_from([1, 3, 8])), data.draw(st.integers(0, 1))
        loader = StreamLoader(stream_of(lengths, shards))
        loader.dataset.set_epoch(epoch)
        whole = ids(loader)
        state, done = None, 0
        for cut in sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=1, max_size=3))):
            loader = StreamLoader(stream_of(lengths, shards))
            if state is None:
                loader.dataset.set_epoch(epoch)
            else:
                loader.load_state_dict(state)
            batches = iter(loader)
            assert ids(next(batches) for _ in range(cut - done)) == whole[done:cut]
            state, done = json.loads(json.dumps(loader.state_dict(cut))), cut
            assert len(json.dumps(state)) < 4000
        loader = StreamLoader(stream_of(lengths, shards))
        loader.load_state_dict(state)
        assert ids(loader) == whole[done:]
        loader.dataset.set_epoch(epoch + 1)
        other = StreamLoader(stream_of(lengths, shards))
        other.dataset.set_epoch(epoch + 1)
        assert ids(loader) == ids(other)

    def test_with_workers_the_stream_is_read_again(self):
        lengths = lengths_like_sentences(260)
        whole = ids(StreamLoader(stream_of(lengths), num_workers=2))
        loader = StreamLoader(stream_of(lengths), num_workers=2)
        batches = iter(loader)
        for _ in range(5):
            next(batches)
        state = loader.state_dict(4)  # the loop has prefetched one batch
        assert state["position"] is None
        loader = StreamLoader(stream_of(lengths), num_workers=2)
        loader.load_state_dict(state)
        assert ids(loader) == whole[4:]

    def test_the_state_of_a_large_pool_is_small(self):
        loader = StreamLoader(stream_of(lengths_like_sentences(20_000), 16, pool=10_000, max_tokens=512))
        batches = iter(loader)
        for _ in range(len(list(batches)) - 1):
            pass
        assert len(json.dumps(loader.state_dict())) < 6000

    def test_other_settings_raise(self):
        state = StreamLoader(stream_of([1, 2], 1)).state_dict()
        with pytest.raises(ValueError, match="pool 50 in the state, 60 here; resume with those"):
            StreamLoader(stream_of([1, 2], 1, pool=60)).load_state_dict(state)

    def test_old_states_raise(self):
        loader = StreamLoader(stream_of([5] * 4000, 1, max_sequences=10))
        list(loader)
        with pytest.raises(ValueError, match=r"step=1: of this epoch the batches \d+ to 400 are remembered"):
            loader.state_dict(1)


RANKS = """
import sys, json, torch, torch.distributed as dist
sys.path.insert(0, {tests!r})
from test_loader import lengths_like_sentences, rows_of
from datasets import IterableDataset
from seqkit.data import PackedStream, StreamLoader
rank, shuffle = int(sys.argv[1]), sys.argv[2] == "train"
dist.init_process_group("gloo", init_method="file://" + sys.argv[3], rank=rank, world_size=2)
table = rows_of(lengths_like_sentences(200))
def shard(parts):  # the second of two shards has nearly all rows
    for part in parts:
        yield from (table[row] for row in part)
dataset = IterableDataset.from_generator(shard, gen_kwargs={{"parts": [list(range(5)), list(range(5, 200))]}})
stream = PackedStream(dataset, ["x"], ["id"], pool=40, max_tokens=200, shuffle=shuffle)
seen = [batch.targets["id"].tolist() if len(batch.rows) else [] for batch in StreamLoader(stream)]
json.dump(seen, open(sys.argv[3] + f".{{rank}}", "w"))
dist.destroy_process_group()
"""


@pytest.mark.parametrize("stage", ["train", "test"])
def test_ranks_with_uneven_shards_take_equally_many_steps(stage, tmp_path):
    code = RANKS.format(tests=str(Path(__file__).parent))
    arguments = [stage, str(tmp_path / "meet")]
    ranks = [processes.Process("-c", code, rank, *arguments) for rank in range(2)]
    assert [rank.wait().returncode for rank in ranks] == [0, 0]
    seen = [json.loads((tmp_path / f"meet.{rank}").read_text()) for rank in range(2)]
    assert len(seen[0]) == len(seen[1])
    times = Counter(row for rank in seen for batch in rank for row in batch)
    if stage == "test":
        assert times == Counter(range(200))
    else:
        assert set(times.values()) == {1}
        assert all(batch for rank in seen for batch in rank)
