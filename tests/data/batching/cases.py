import numpy as np
from hypothesis import strategies as st

from seqkit.data import LengthBucketSampler, StepCost

VERY_LONG = 40


@st.composite
def settings(draw, **fixed):
    """Lengths with ties and perhaps one very long row, and arguments that allow them."""
    lengths = draw(st.lists(st.integers(1, draw(st.integers(2, 20))), min_size=1, max_size=50))
    if draw(st.booleans()):
        lengths.insert(draw(st.integers(0, len(lengths))), VERY_LONG)
    if len(set(lengths)) == 1:
        lengths.append(lengths[0] + 1)
    arguments = {
        "max_tokens": draw(st.none() | st.integers(max(lengths), 2 * VERY_LONG)),
        "max_sequences": draw(st.none() | st.integers(1, 6)),
        "budget": draw(st.sampled_from(["packed", "padded"])),
        "batch_multiple": draw(st.sampled_from([1, 1, 2, 3])),
        "shuffle": draw(st.booleans()),
        "longest_first": draw(st.booleans()),
        "num_buckets": draw(st.none() | st.integers(1, 3)),
        "cost": StepCost(per_batch=draw(st.sampled_from([0.0, 20.0]))),
        "seed": draw(st.integers(0, 3)),
        **fixed,
    }
    if arguments["max_tokens"] is None and arguments["max_sequences"] is None:
        arguments["max_sequences"] = 4
    return np.array(lengths), arguments


def ranks(lengths, world_size, **arguments):
    return [
        LengthBucketSampler(lengths, num_replicas=world_size, rank=rank, **arguments) for rank in range(world_size)
    ]


def rows_of(batches):
    return [row for batch in batches for row in batch]


def weight(lengths, rows, budget):
    longest = max((lengths[row] for row in rows), default=0)
    return int(lengths[rows].sum()) if budget == "packed" else len(rows) * int(longest)
