import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.decoding import beam_search, best_path
from seqkit.labels import END
from tests.ctc_oracle import LABELS, collapsed, label_sequence_probabilities, outputs

lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(lengths)
def test_best_path_equals_that_of_each_sequence_alone(counts):
    sequences = outputs(counts)
    found = packed.unpack(best_path(packed.pack(sequences)))
    for mine, scores in zip(found, sequences, strict=True):
        assert tuple(mine.tolist()) == (*collapsed(scores.argmax(-1).tolist(), LABELS), END)


@given(lengths, st.integers(0, 3))
def test_wide_beam_finds_all_label_sequences_in_order(counts, seed):
    sequences = outputs(counts, seed, classes=3)
    width = 1 + 2 + 4 + 8 + 16 + 32  # the number of prefixes of up to 5 labels
    beams = beam_search(packed.pack(sequences), width, count=width)
    ranked = [packed.unpack(transcripts) for transcripts in beams.transcripts]
    for row, scores in enumerate(sequences):
        every = label_sequence_probabilities(scores)
        found = {
            tuple(rank[row].tolist()[:-1]): float(score)
            for rank, score in zip(ranked, beams.scores[row], strict=True)
            if score.isfinite()
        }
        assert found.keys() == every.keys()
        for labels, score in found.items():
            assert score == pytest.approx(float(every[labels].log()), rel=1e-9)
    assert (beams.scores.diff() <= 0).logical_or(beams.scores[:, 1:].isinf()).all()


def beam_search_loop(scores, width):
    """Run algorithm 1 of Hannun et al. (2014) on one sequence, without a language model."""
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
def test_narrow_beam_equals_the_loop_of_the_paper(counts, width, seed):
    sequences = [2 * s for s in outputs(counts, seed)]
    beams = beam_search(packed.pack(sequences), width, count=2)
    for row, scores in enumerate(sequences):
        expected = beam_search_loop(scores, width)
        for rank in range(2):
            labels, probability = expected[rank]
            assert tuple(packed.unpack(beams.transcripts[rank])[row].tolist()) == (*labels, END)
            assert float(beams.scores[row, rank].exp()) == pytest.approx(probability, rel=1e-9)


def test_beam_sums_paths_that_the_best_path_does_not():
    # The blank is the most likely class of both steps, but the paths of one label are more likely together.
    scores = torch.tensor([[0.4, 0.6], [0.4, 0.6]]).log()
    assert packed.unpack(best_path(packed.pack([scores])))[0].tolist() == [END]
    beams = beam_search(packed.pack([scores]), 2)
    assert packed.unpack(beams.transcripts[0])[0].tolist() == [0, END]
    assert float(beams.scores.exp()) == pytest.approx(0.64)


def test_count_above_the_width_raises_an_error():
    with pytest.raises(ValueError, match="beam_search: count is 3 with width 2; give 1 to 2, or a larger width"):
        beam_search(packed.pack(outputs([2])), 2, count=3)
