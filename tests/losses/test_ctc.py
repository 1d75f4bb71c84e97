import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.decoding import beam_search, best_path
from seqkit.labels import END, UNKNOWN, split
from seqkit.losses import CTC, steps_needed

LABELS = 3  # and the blank, 3
lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def outputs(counts, seed=0, classes=LABELS + 1, dtype=torch.double):
    torch.manual_seed(seed)
    return [torch.randn(n, classes, dtype=dtype) for n in counts]


def collapsed(path, blank):
    """What a path of classes says."""
    merged = [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
    return tuple(c for c in merged if c != blank)


def enumerated(scores):
    """The probability of every label sequence, by all paths."""
    probabilities = scores.softmax(-1)
    steps, classes = scores.shape
    found = {}
    for path in itertools.product(range(classes), repeat=steps):
        said = collapsed(path, classes - 1)
        found[said] = found.get(said, 0) + probabilities[range(steps), list(path)].prod()
    return found


def packed_references(rows):
    return packed.pack([torch.tensor([i for reference in row for i in [*reference, END]]) for row in rows])


@given(lengths, st.data())
def test_the_loss_is_that_of_all_alignments(counts, data):
    sequences = [s.requires_grad_() for s in outputs(counts)]
    reference = st.lists(st.integers(0, LABELS - 1), max_size=4)
    rows = [data.draw(st.lists(reference, min_size=1, max_size=3, unique_by=tuple)) for _ in counts]
    every = [enumerated(s) for s in sequences]
    chances = [
        sum(of.get(tuple(reference), torch.tensor(0.0)) for reference in row)
        for of, row in zip(every, rows, strict=True)
    ]
    output = packed.pack(sequences)
    found = CTC().each(output, packed_references(rows))
    for mine, chance in zip(found, chances, strict=True):
        torch.testing.assert_close(mine.exp().reciprocal(), torch.as_tensor(chance, dtype=torch.double))
    total, units = CTC().total(output, packed_references(rows))
    there = [chance for chance in chances if chance > 0]
    assert units == len(there)
    mine = torch.autograd.grad(total, sequences)
    if there:
        theirs = torch.autograd.grad(-torch.stack(there).log().sum(), sequences, allow_unused=True)
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


def test_the_loss_is_torchs_own_on_padded_data():
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


def test_a_reference_that_a_row_has_twice_counts_once():
    output = packed.pack([s.requires_grad_() for s in outputs([6, 4, 5])])
    once = [[[0, 1], [2]], [[1]], [[0, 1, 2], [0]]]
    twice = [[[0, 1], [2], [0, 1]], [[1], [1], [1]], [[0, 1, 2], [0]]]
    found, expected = (CTC().each(output, packed_references(rows)) for rows in (twice, once))
    torch.testing.assert_close(found, expected)
    mine, theirs = (torch.autograd.grad(each.sum(), output.data) for each in (found, expected))
    torch.testing.assert_close(mine, theirs)


def test_pairs_that_cannot_be_aligned_do_not_count():
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


def test_bad_targets():
    output = packed.pack(outputs([2, 3]))
    with pytest.raises(ValueError, match="CTC: 2 sequences of outputs but 1 of labels; give each row both"):
        CTC().each(output, packed.pack([torch.tensor([0])]))
    with pytest.raises(ValueError, match="CTC: label 3, but the output has 3 labels and the blank, which is the"):
        CTC().each(output, packed.pack([torch.tensor([0]), torch.tensor([3])]))


@given(lengths)
def test_the_best_path_is_that_of_each_sequence_alone(counts):
    sequences = outputs(counts)
    found = packed.unpack(best_path(packed.pack(sequences)))
    for mine, scores in zip(found, sequences, strict=True):
        assert tuple(mine.tolist()) == (*collapsed(scores.argmax(-1).tolist(), LABELS), END)


@given(lengths, st.integers(0, 3))
def test_a_wide_beam_finds_all_label_sequences_in_order(counts, seed):
    sequences = outputs(counts, seed, classes=3)
    width = 1 + 2 + 4 + 8 + 16 + 32  # all there can be
    beams = beam_search(packed.pack(sequences), width, count=width)
    ranked = [packed.unpack(transcripts) for transcripts in beams.transcripts]
    for row, scores in enumerate(sequences):
        every = enumerated(scores)
        found = {
            tuple(rank[row].tolist()[:-1]): float(score)
            for rank, score in zip(ranked, beams.scores[row], strict=True)
            if score.isfinite()
        }
        assert found.keys() == every.keys()
        for said, score in found.items():
            assert score == pytest.approx(float(every[said].log()), rel=1e-9)
    assert (beams.scores.diff() <= 0).logical_or(beams.scores[:, 1:].isinf()).all()


def plain_beam_search(scores, width):
    """Hannun and others' algorithm 1 without a language model, one sequence, as it stands there."""
    logs = scores.log_softmax(-1).exp()
    blank = scores.shape[1] - 1
    held = {(): (1.0, 0.0)}
    for x in logs.tolist():
        after = {}

        def add(prefix, in_blank, in_label, after=after):
            b, n = after.get(prefix, (0.0, 0.0))
            after[prefix] = (b + in_blank, n + in_label)

        for prefix, (b, n) in held.items():
            add(prefix, (b + n) * x[blank], 0.0)
            for c in range(blank):
                if prefix and prefix[-1] == c:
                    add(prefix, 0.0, n * x[c])
                    add((*prefix, c), 0.0, b * x[c])
                else:
                    add((*prefix, c), 0.0, (b + n) * x[c])
        held = dict(sorted(after.items(), key=lambda item: -sum(item[1]))[:width])
    return [(prefix, b + n) for prefix, (b, n) in held.items()]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.integers(2, 8), st.integers(0, 3))
def test_a_narrow_beam_is_that_of_the_papers_loop(counts, width, seed):
    sequences = [2 * s for s in outputs(counts, seed)]
    beams = beam_search(packed.pack(sequences), width, count=2)
    for row, scores in enumerate(sequences):
        expected = plain_beam_search(scores, width)
        for rank in range(2):
            said, chance = expected[rank]
            assert tuple(packed.unpack(beams.transcripts[rank])[row].tolist()) == (*said, END)
            assert float(beams.scores[row, rank].exp()) == pytest.approx(chance, rel=1e-9)


def test_a_beam_sees_what_the_best_path_does_not():
    # Blank is likeliest at both steps, but the paths of one label together are likelier.
    scores = torch.tensor([[0.4, 0.6], [0.4, 0.6]]).log()
    assert packed.unpack(best_path(packed.pack([scores])))[0].tolist() == [END]
    beams = beam_search(packed.pack([scores]), 2)
    assert packed.unpack(beams.transcripts[0])[0].tolist() == [0, END]
    assert float(beams.scores.exp()) == pytest.approx(0.64)


def test_more_label_sequences_than_the_beam_is_wide():
    with pytest.raises(ValueError, match="beam_search: count is 3 with width 2; give 1 to 2, or a greater width"):
        beam_search(packed.pack(outputs([2])), 2, count=3)
