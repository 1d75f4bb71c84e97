import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.labels import END, UNKNOWN, split
from seqkit.losses import CTC, steps_needed
from tests.ctc_oracle import LABELS, label_sequence_probabilities, outputs

lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def packed_references(rows):
    return packed.pack([torch.tensor([i for reference in row for i in [*reference, END]]) for row in rows])


@given(lengths, st.data())
def test_loss_is_the_negative_log_of_the_sum_over_all_paths(counts, data):
    sequences = [s.requires_grad_() for s in outputs(counts)]
    reference = st.lists(st.integers(0, LABELS - 1), max_size=4)
    rows = [data.draw(st.lists(reference, min_size=1, max_size=3, unique_by=tuple)) for _ in counts]
    every = [label_sequence_probabilities(s) for s in sequences]
    probabilities = [
        sum(of.get(tuple(reference), torch.tensor(0.0)) for reference in row)
        for of, row in zip(every, rows, strict=True)
    ]
    output = packed.pack(sequences)
    found = CTC().each(output, packed_references(rows))
    for mine, probability in zip(found, probabilities, strict=True):
        torch.testing.assert_close(mine.exp().reciprocal(), torch.as_tensor(probability, dtype=torch.double))
    total, units = CTC().total(output, packed_references(rows))
    there = [probability for probability in probabilities if probability > 0]
    assert units == len(there)
    mine = torch.autograd.grad(total, sequences)
    if there:
        theirs = torch.autograd.grad(-torch.stack(there).log().sum(), sequences, allow_unused=True)
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


def test_loss_equals_torchs_on_padded_data():
    counts, wanted = [9, 4, 12], [[0, 1, 1], [2], [0, 1, 2, 0, 1]]
    sequences = outputs(counts)
    padded = torch.nn.utils.rnn.pad_sequence(sequences).log_softmax(-1)
    theirs = F.ctc_loss(
        padded,
        torch.tensor([label for w in wanted for label in w]),
        torch.tensor(counts),
        torch.tensor([len(w) for w in wanted]),
        blank=LABELS,
        reduction="none",
    )
    mine = CTC().each(packed.pack(sequences), packed.pack([torch.tensor(w) for w in wanted]))
    torch.testing.assert_close(mine, theirs)


def test_repeated_reference_counts_once():
    output = packed.pack([s.requires_grad_() for s in outputs([6, 4, 5])])
    once = [[[0, 1], [2]], [[1]], [[0, 1, 2], [0]]]
    twice = [[[0, 1], [2], [0, 1]], [[1], [1], [1]], [[0, 1, 2], [0]]]
    found, expected = (CTC().each(output, packed_references(rows)) for rows in (twice, once))
    torch.testing.assert_close(found, expected)
    mine, theirs = (torch.autograd.grad(each.sum(), output.data) for each in (found, expected))
    torch.testing.assert_close(mine, theirs)


def test_rows_that_cannot_be_aligned_do_not_count():
    output = packed.pack([s.requires_grad_() for s in outputs([2, 3, 1])])
    target = packed_references([[[0, 0]], [[0, 1, 1], [2, 1, UNKNOWN]], [[UNKNOWN]]])
    needed = torch.iinfo(torch.int64).max
    assert steps_needed(split(target)).tolist() == [3, 4, needed, needed]
    total, units = CTC().total(output, target)
    assert (total, units) == (0, 0)
    (gradient,) = torch.autograd.grad(total, output.data)
    assert (gradient == 0).all()


def test_half_precision_is_summed_in_float32():
    (scores,) = outputs([6], dtype=torch.float32)
    target = packed.pack([torch.tensor([1, 2])])
    found = CTC().each(packed.pack([scores.bfloat16()]), target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, CTC().each(packed.pack([scores.bfloat16().float()]), target))


def test_wrong_targets_raise_an_error():
    output = packed.pack(outputs([2, 3]))
    with pytest.raises(ValueError, match="CTC: 2 sequences of outputs but 1 of labels; give each row both"):
        CTC().each(output, packed.pack([torch.tensor([0])]))
    with pytest.raises(ValueError, match="CTC: label 3, but the output has 3 labels, from 0, and the blank; give"):
        CTC().each(output, packed.pack([torch.tensor([0]), torch.tensor([3])]))
