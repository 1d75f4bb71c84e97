"""Oracles of CTC: every path of classes, one after the other."""

import itertools

import torch

LABELS = 3  # the blank is class 3


def outputs(counts, seed=0, classes=LABELS + 1, dtype=torch.double):
    torch.manual_seed(seed)
    return [torch.randn(n, classes, dtype=dtype) for n in counts]


def collapsed(path, blank):
    """Merge the repetitions in a path of classes and drop its blanks."""
    merged = [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
    return tuple(c for c in merged if c != blank)


def label_sequence_probabilities(scores):
    """Sum the probabilities of all paths of each label sequence."""
    probabilities = scores.softmax(-1)
    steps, classes = scores.shape
    found = {}
    for path in itertools.product(range(classes), repeat=steps):
        labels = collapsed(path, classes - 1)
        found[labels] = found.get(labels, 0) + probabilities[range(steps), list(path)].prod()
    return found
