import json
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqkit import packed
from seqkit.metrics import SpanF1, SpanReport
from tests import processes

NAMES = {
    "BIO": ["O", "B-X", "I-X", "B-Y", "I-Y"],
    "IOB1": ["I-X", "B-X", "O", "I-Y", "B-Y"],
    "BIOES": ["O", *(f"{p}-{t}" for t in ("X", "Y") for p in "BIES")],
}


def spans_as_conlleval(tags):
    """Find spans by startOfChunk and endOfChunk of conlleval (Tjong Kim Sang 2004), with S as in seqeval."""
    found, start = [], None
    previous, kind = "O", ""
    for i, name in enumerate([*tags, "O"]):
        tag, _, new = name.partition("-")
        end = (previous in "BI" and tag in "BSO") or previous in "ES" or (previous != "O" and kind != new)
        if end and start is not None:
            found.append((start, i - 1, kind))
            start = None
        if tag in "BS" or (previous in "ESO" and tag in "EI") or (tag != "O" and kind != new):
            start = i
        previous, kind = tag, new
    return found


def pack_tags(sentences, names):
    return packed.pack([torch.tensor([names.index(tag) for tag in sentence]) for sentence in sentences])


def random_tags(names, seed):
    """Yield predicted and true tags of some sentences, 60 times."""
    draw = random.Random(seed)
    for _ in range(60):
        lengths = [draw.randint(1, 12) for _ in range(draw.randint(1, 6))]
        predicted, truth = ([draw.choices(names, k=n) for n in lengths] for _ in range(2))
        yield predicted, truth


def scored(predicted, truth, names, **options):
    metric = SpanF1(names, per_type=True, **options)
    metric.update(pack_tags(predicted, names), pack_tags(truth, names))
    return {name: value.item() for name, value in metric.compute().items()}


def test_hard_cases_computed_by_hand_as_conlleval():
    names = NAMES["BIO"]
    truth = [["B-X", "I-X", "O", "B-Y"], ["O", "B-X", "B-X"], ["I-Y"]]
    #         type changes without B    I after O         a span at the end of one sentence, and of another
    guess = [["B-X", "I-Y", "O", "I-Y"], ["O", "B-X", "I-X"], ["B-Y"]]
    # truth: X(0,1) Y(3,3) | X(1,1) X(2,2) | Y(0,0); guess: X(0,0) Y(1,1) Y(3,3) | X(1,2) | Y(0,0)
    values = scored(guess, truth, names)
    assert values == pytest.approx(
        {
            "span_precision": 2 / 5,
            "span_recall": 2 / 5,
            "span_f1": 2 / 5,
            "span_f1_macro": (0 + 4 / 5) / 2,
            "span_f1_X": 0.0,
            "span_f1_Y": 2 * (2 / 3) * 1 / (2 / 3 + 1),
        }
    )


@pytest.mark.parametrize("scheme", NAMES)
def test_invalid_tag_sequences_are_read_as_by_conlleval(scheme):
    names = NAMES[scheme]
    for guess, truth in random_tags(names, seed=0):
        mine = scored(guess, truth, names, scheme=scheme)
        sets = [
            {(i, *span) for i, s in enumerate(side) for span in spans_as_conlleval(s)} for side in (guess, truth)
        ]
        right = len(sets[0] & sets[1])
        assert mine["span_precision"] == pytest.approx(right / max(len(sets[0]), 1))
        assert mine["span_recall"] == pytest.approx(right / max(len(sets[1]), 1))
        assert mine["span_f1"] == pytest.approx(2 * right / max(len(sets[0]) + len(sets[1]), 1))


@pytest.mark.parametrize("mode", ["default", "strict"])
@pytest.mark.parametrize("scheme", NAMES)
def test_scores_equal_those_of_seqeval(scheme, mode):
    """The file holds the scores of seqeval 1.2.2; make_seqeval_scores.py writes it."""
    recorded = json.loads(Path(__file__).with_name("seqeval_scores.json").read_text())[f"{scheme} {mode}"]
    kinds = ("precision", "recall", "f1", "f1_macro", "f1_X", "f1_Y")
    for case, correct in zip(random_tags(NAMES[scheme], seed=1), recorded, strict=True):
        scores = scored(*case, NAMES[scheme], scheme=scheme, strict=mode == "strict")
        assert [scores[f"span_{kind}"] for kind in kinds] == pytest.approx(correct)


def test_states_accumulate_over_batches_and_reset():
    names = NAMES["BIO"]
    metric = SpanF1(names)
    first, second = [["B-X", "O"]], [["B-Y", "I-Y", "O"], ["B-X"]]
    metric.update(pack_tags(first, names), pack_tags(first, names))
    metric.update(pack_tags([["B-Y", "O", "O"], ["B-X"]], names), pack_tags(second, names))
    assert metric.compute()["span_f1"].item() == pytest.approx(2 / 3)
    assert all(getattr(metric, state).dtype == torch.long for state in ("correct", "predicted", "actual"))
    metric.reset()
    metric.update(pack_tags(first, names), pack_tags(first, names))
    assert metric.compute()["span_f1"].item() == 1.0


RANK = """
import json, sys, torch
from seqkit import packed
from seqkit.metrics import SpanF1
rank, meet, names, guess, truth = int(sys.argv[1]), sys.argv[2], *map(json.loads, sys.argv[3:])
torch.distributed.init_process_group("gloo", init_method="file://" + meet, rank=rank, world_size=2)
metric = SpanF1(names, per_type=True)
mine = [packed.pack([torch.tensor(ids) for ids in side[rank::2]]) for side in (guess, truth)]
metric.update(*mine)
values = {name: value.item() for name, value in metric.compute().items()}
json.dump(values, open(f"{meet}.{rank}", "w"))
torch.distributed.destroy_process_group()
"""


def test_two_ranks_give_the_scores_of_one(tmp_path):
    names, draw = NAMES["BIO"], random.Random(2)
    lengths = [draw.randint(1, 12) for _ in range(7)]
    guess, truth = ([draw.choices(names, k=n) for n in lengths] for _ in range(2))
    ids = [json.dumps([[names.index(tag) for tag in s] for s in side]) for side in (guess, truth)]
    meet = str(tmp_path / "meet")
    arguments = [meet, json.dumps(names), *ids]
    ranks = [processes.Process("-c", RANK, rank, *arguments) for rank in range(2)]
    assert [rank.wait().returncode for rank in ranks] == [0, 0]
    expected = scored(guess, truth, names)
    assert expected["span_f1"] > 0
    for rank in range(2):
        assert json.loads((tmp_path / f"meet.{rank}").read_text()) == expected


def test_ignored_tokens_are_outside_all_spans():
    names = NAMES["BIO"]
    metric = SpanF1(names)
    truth = packed.pack([torch.tensor([1, -100])])
    metric.update(pack_tags([["B-X", "O"]], names), truth)
    assert metric.compute()["span_f1"].item() == 1.0


def counts(metric):
    return [getattr(metric, state).tolist() for state in ("correct", "predicted", "actual")]


@pytest.mark.parametrize("metric", [SpanF1, SpanReport])
@pytest.mark.parametrize(
    ("guess", "truth", "expected"),
    [
        ([1, 2, 2], [1, -100, 2], [[1], [1], [1]]),  # B I I of B (ignored) I
        ([1, 1, 0], [1, -100, 0], [[1], [1], [1]]),  # a predicted B on an ignored token
        ([1, 0, 2], [1, -100, 2], [[1], [1], [1]]),
        ([0, 1, 2], [0, -100, 2], [[1], [1], [1]]),  # I after O
        ([1, 2], [-100, -100], [[0], [0], [0]]),
    ],
)
def test_ignored_tokens_are_left_out_of_both_sides(metric, guess, truth, expected):
    for ignored in (-100, -1, 3):
        scores = metric(["O", "B-X", "I-X"], ignore_index=ignored)
        true = [ignored if tag == -100 else tag for tag in truth]
        scores.update(*(packed.pack([torch.tensor(side)]) for side in (guess, true)))
        assert counts(scores) == expected


sentences = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from([-100, 0, 1, 2, 3, 4])), min_size=1, max_size=8),
    min_size=1,
    max_size=5,
)


@given(sentences=sentences, seed=st.integers(0, 9))
@pytest.mark.parametrize("scheme", ["BIO", "IOB1"])
def test_spans_with_ignored_tokens_equal_a_plain_evaluation(scheme, sentences, seed):
    """As in the examples of transformers: drop ignored tokens from both lists of tags, then compare the spans."""
    names = NAMES[scheme]
    found, kinds = [set(), set()], ["X", "Y"]
    for row, sentence in enumerate(sentences):
        kept = [pair for pair in sentence if pair[1] != -100]
        for side in range(2):
            tags = [names[pair[side]] for pair in kept]
            found[side] |= {(row, *span) for span in spans_as_conlleval(tags)}
    expected = [
        [sum(span[-1] == kind for span in spans) for kind in kinds] for spans in (found[0] & found[1], *found)
    ]
    random.Random(seed).shuffle(sentences)
    metric = SpanF1(names, scheme=scheme)
    metric.update(*(packed.pack([torch.tensor([p[side] for p in s]) for s in sentences]) for side in range(2)))
    assert counts(metric) == expected


@given(sentences=sentences)
@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("strict", [False, True])
def test_ignored_tokens_and_sequences_without_them_score_the_same(strict, scheme, sentences):
    kept = [[pair for pair in sentence if pair[1] != -100] for sentence in sentences]
    found = []
    for rows in (sentences, [sentence for sentence in kept if sentence]):
        metric = SpanF1(NAMES[scheme], scheme=scheme, strict=strict)
        if rows:
            metric.update(*(packed.pack([torch.tensor([p[side] for p in s]) for s in rows]) for side in range(2)))
        found.append(counts(metric))
    assert found[0] == found[1]


def test_errors_name_the_tag_or_the_lengths():
    with pytest.raises(ValueError, match=r"tag 'E-X' is not one of scheme BIO"):
        SpanF1(["O", "B-X", "E-X"])
    metric = SpanF1(NAMES["BIO"])
    with pytest.raises(ValueError, match=r"3 predicted tags and 2 true ones .*same lengths"):
        metric.update(packed.pack([torch.zeros(3).long()]), packed.pack([torch.zeros(2).long()]))


def test_nothing_is_saved_in_a_checkpoint():
    assert SpanF1(["O", "B-x", "I-x"], per_type=True).state_dict() == {}
