import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.batching.permutation import index_in_group, permutation_keys, permute


def standard_score(counts):
    """Return how many standard deviations the χ² of equally likely cells is from its mean."""
    counts = np.asarray(counts, float).ravel()
    expected = counts.sum() / counts.size
    degrees = counts.size - 1
    return (((counts - expected) ** 2 / expected).sum() - degrees) / np.sqrt(2 * degrees)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(0, 2**40), st.integers(0, 1000))
def test_permute_is_a_bijection_of_each_domain(sizes, seed, epoch):
    keys = permutation_keys((seed, epoch), len(sizes))
    which = np.repeat(np.arange(len(sizes)), sizes)
    image = permute(index_in_group(np.array(sizes)), np.repeat(sizes, sizes), which, keys)
    for k, size in enumerate(sizes):
        assert sorted(image[which == k]) == list(range(size))


def test_permute_works_for_very_large_domains():
    size = np.full(1000, 2**61 + 7)
    index = np.arange(1000) + 2**61 - 1000
    image = permute(index, size, np.zeros(1000, np.int64), permutation_keys((0, 0), 1))
    assert np.unique(image).size == 1000
    assert 0 <= image.min() < image.max() < size[0]


@pytest.mark.parametrize("size", [2, 3, 5, 8, 17, 65])
def test_permutations_are_uniform_over_keys(size):
    trials = 4000
    which = np.repeat(np.arange(trials), size)
    images = permute(
        np.tile(np.arange(size), trials), np.full(which.size, size), which, permutation_keys((1, 2), trials)
    )
    images = images.reshape(trials, size)
    positions = np.array([np.bincount(images[:, i], minlength=size) for i in range(size)])
    assert standard_score(positions) < 5
    together = np.zeros((size, size))
    np.add.at(together, (images[:, 0], images[:, 1]), 1)
    assert standard_score(together[~np.eye(size, dtype=bool)]) < 5


def test_all_permutations_of_four_are_equally_likely():
    trials = 24_000
    which = np.repeat(np.arange(trials), 4)
    images = permute(np.tile(np.arange(4), trials), np.full(which.size, 4), which, permutation_keys((0, 0), trials))
    _, counts = np.unique(images.reshape(trials, 4) @ [64, 16, 4, 1], return_counts=True)
    assert counts.size == 24
    assert standard_score(counts) < 5


def test_keys_depend_on_seed_and_epoch():
    tables = [permutation_keys((seed, epoch), 3).tobytes() for seed in range(5) for epoch in range(5)]
    assert len(set(tables)) == 25
