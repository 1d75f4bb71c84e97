import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import END
from seqkit.metrics import ErrorRates

label_sequences = st.lists(st.integers(0, 2), max_size=5)


@given(
    st.lists(st.tuples(label_sequences, st.lists(label_sequences, min_size=1, max_size=3)), min_size=1, max_size=6)
)
def test_error_rates_are_against_the_nearest_reference(rows):
    def distance(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(distance(a[1:], b) + 1, distance(a, b[1:]) + 1, distance(a[1:], b[1:]) + (a[0] != b[0]))

    distance = functools.cache(distance)
    metric = ErrorRates()
    for some in (rows[:2], rows[2:]):  # two batches
        if some:
            found = packed.pack([torch.tensor([*said, END]) for said, _ in some])
            wanted = packed.pack([torch.tensor([i for one in row for i in [*one, END]]) for _, row in some])
            metric.update(found, wanted)
    edits, labels, wrong = 0, 0, 0
    for said, references in rows:
        nearest = min(
            references, key=lambda one, said=said: distance(tuple(said), tuple(one))
        )  # the first of several
        edits += distance(tuple(said), tuple(nearest))
        labels += len(nearest)
        wrong += said not in references
    rates = metric.compute()
    assert float(rates["label_error_rate"]) == pytest.approx(edits / max(labels, 1))
    assert float(rates["sequence_error_rate"]) == pytest.approx(wrong / len(rows))
