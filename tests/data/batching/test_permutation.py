import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.permutation import Epoch, permutation_keys, permute, within
from seqkit.data.batching.plan import Buckets


def standard_score(counts):
    """How many standard deviations a χ² of equally likely cells is from its mean."""
    counts = np.asarray(counts, float).ravel()
    expected = counts.sum() / counts.size
    degrees = counts.size - 1
    return (((counts - expected) ** 2 / expected).sum() - degrees) / np.sqrt(2 * degrees)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(0, 2**40), st.integers(0, 1000))
def test_permute_is_a_bijection_of_each_domain(sizes, seed, epoch):
    keys = permutation_keys(seed, epoch, len(sizes))
    which = np.repeat(np.arange(len(sizes)), sizes)
    image = permute(within(np.array(sizes)), np.repeat(sizes, sizes), which, keys)
    for k, size in enumerate(sizes):
        assert sorted(image[which == k]) == list(range(size))


def test_permute_reaches_far_domains():
    size = np.full(1000, 2**61 + 7)
    index = np.arange(1000) + 2**61 - 1000
    image = permute(index, size, np.zeros(1000, np.int64), permutation_keys(0, 0, 1))
    assert np.unique(image).size == 1000
    assert 0 <= image.min() < image.max() < size[0]


@pytest.mark.parametrize("size", [2, 3, 5, 8, 17, 65])
def test_permutations_are_uniform_over_keys(size):
    trials = 4000
    which = np.repeat(np.arange(trials), size)
    images = permute(
        np.tile(np.arange(size), trials), np.full(which.size, size), which, permutation_keys(1, 2, trials)
    )
    images = images.reshape(trials, size)
    places = np.array([np.bincount(images[:, i], minlength=size) for i in range(size)])
    assert standard_score(places) < 5
    together = np.zeros((size, size))
    np.add.at(together, (images[:, 0], images[:, 1]), 1)
    assert standard_score(together[~np.eye(size, dtype=bool)]) < 5


def test_all_permutations_of_four_are_equally_likely():
    trials = 24_000
    which = np.repeat(np.arange(trials), 4)
    images = permute(np.tile(np.arange(4), trials), np.full(which.size, 4), which, permutation_keys(0, 0, trials))
    _, counts = np.unique(images.reshape(trials, 4) @ [64, 16, 4, 1], return_counts=True)
    assert counts.size == 24
    assert standard_score(counts) < 5


def test_keys_depend_on_seed_and_epoch():
    tables = [permutation_keys(seed, epoch, 3).tobytes() for seed in range(5) for epoch in range(5)]
    assert len(set(tables)) == 25


@st.composite
def plans(draw):
    world = draw(st.integers(1, 4))
    sequences = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    batches = [draw(st.integers(1, 4)) for _ in sequences]
    rows = [count * size * world for count, size in zip(batches, sequences, strict=True)]
    rows[-1] -= draw(st.integers(0, sequences[-1] * world - 1))
    return Buckets(np.cumsum([0, *rows]), np.array(sequences), world)


@given(plans(), st.booleans(), st.data())
def test_steps_are_the_same_however_they_are_asked_for(plan, shuffle, data):
    first = data.draw(st.none() | st.integers(0, plan.num_steps - 1))
    epoch = Epoch(plan, permutation_keys(3, 1, plan.sequences.size + 1) if shuffle else None, first)
    sizes, positions = epoch.batches(0, plan.num_steps)
    assert sorted(positions) == list(range(plan.starts[-1]))
    ends = np.cumsum(sizes)
    for step in range(plan.num_steps):
        alone = epoch.batches(step, step + 1)[1]
        batch = positions[ends[step] - sizes[step] : ends[step]]
        assert alone.tolist() == batch.tolist() == sorted(batch)
        bucket = np.searchsorted(plan.starts, batch, "right") - 1
        assert np.unique(bucket).size == 1
        assert batch.size in (plan.global_sequences[bucket[0]], plan.rows[-1] % plan.global_sequences[-1])
    if first is not None:
        offset = np.cumsum(plan.steps)
        assert np.searchsorted(plan.starts, positions[0], "right") - 1 == np.searchsorted(offset, first, "right")
    assert epoch.batches(plan.num_steps, plan.num_steps)[1].size == 0
