"""Rows whose tags break the scheme of a decoder: refused or reported when a stage starts."""

from functools import partial
from typing import ClassVar

import datasets
import pytest
import torch

from seqkit import MultiTask, SequenceDataModule, Tagger, packed
from seqkit.nn import CRF
from seqkit.tasks import TaskOutput
from tests.tasks.unseen_cases import PARTS

GOOD = [["O", "B-x", "I-x"], ["B-x", "I-x", None, "I-x"], ["O"]]
BROKEN = [["O", "O", "O", "I-x", "O"], ["I-x", "B-x"]]
WARNING = (
    r"row {row} \(column 'tags'\): tag 'I-x' at position 3 breaks the scheme BIO \(around it: \['O', 'O', 'I-x', "
    r"'O'\]\); 2 of 5 rows have such tags, and the loss leaves them out, because the decoder cannot give them; "
    r"correct or drop these rows, give their scheme \(scheme='IOB1', say\), or set constrained=False"
)


def split(tags):
    return datasets.Dataset.from_dict({"words": [["w"] * len(row) for row in tags], "tags": tags})


def build(task=Tagger, options=None, **splits):
    rows = {"train": GOOD * 4, "validation": GOOD, "test": GOOD} | splits
    rows = {name: split(tags) for name, tags in rows.items()}
    data = SequenceDataModule(rows, "words", "tags", **{"max_tokens": 40} | (options or {}))
    torch.manual_seed(0)
    return task(data.spec, **PARTS), data


CONSTRAINED = partial(Tagger, decoder=CRF)


def test_a_training_row_is_refused_before_the_first_step(trainer):
    model, data = build(CONSTRAINED, train=GOOD * 500 + BROKEN)
    with pytest.raises(
        ValueError, match=r"train row 1500 \(column 'tags'\): tag 'I-x' at position 3 breaks .*'IOB1'"
    ):
        trainer(max_epochs=1).fit(model, data)
    model, data = build(partial(CONSTRAINED, constrained=False), train=GOOD + BROKEN)
    trainer(max_epochs=1).fit(model, data)


@pytest.mark.parametrize("task", [CONSTRAINED, partial(MultiTask, heads={"tags": CONSTRAINED})])
def test_other_splits_are_reported_when_a_fit_begins_and_evaluated(trainer, task):
    model, data = build(task, test=GOOD + BROKEN)
    run = trainer(max_epochs=1)
    with pytest.warns(UserWarning, match="test " + WARNING.format(row=3)):
        run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)  # no second warning
    _, good = build(task)
    (expected,) = trainer().test(model, good, verbose=False)
    assert scores["test_loss"] == pytest.approx(expected["test_loss"])
    accuracy = next(name for name in scores if name.endswith("_accuracy"))
    assert scores[accuracy] != expected[accuracy]


@pytest.mark.filterwarnings("ignore:.*breaks the scheme")
def test_the_losses_of_rows_equal_those_of_each_alone(trainer):
    model, data = build(CONSTRAINED, test=GOOD + BROKEN)
    batch = data.rows("test")[[0, 1, 2, 3, 4]]
    with torch.no_grad():
        output = model(batch.inputs)
        found = model.sequence_losses(TaskOutput(output, batch.targets["tags"]))
        for row, loss, scores, tags in zip(
            batch.rows.tolist(), found, packed.unpack(output), packed.unpack(batch.targets["tags"]), strict=True
        ):
            alone = [packed.pack([values]) for values in (scores, tags)]
            expected = 0 if row >= 3 else -model.decoder(*alone).item() / int((tags >= 0).sum())
            assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_a_label_that_training_lacks_breaks_no_scheme(trainer):
    model, data = build(CONSTRAINED, test=[*GOOD, ["B-new", "I-new"], ["O", "strange", "I-x"]])
    with pytest.warns(UserWarning, match="the training split has no label"):  # any other warning is an error
        trainer().test(model, data, verbose=False)


ENDS = [["O", "B-x", "I-x", "E-x"], ["S-x"], ["B-x", None, None, "E-x"], ["O", "S-x", "O"]]


def test_tags_that_no_unknown_tag_can_join(trainer):
    """A tag between the two would have to be I-x or E-x, and O or the end of another type."""
    joined = [["B-x", None, "E-y"], ["B-y", "E-y"]]
    model, data = build(CONSTRAINED, train=[*ENDS, ["B-y", "E-y"]] * 4, validation=ENDS, test=[*ENDS, *joined])
    run = trainer(max_epochs=1)
    with pytest.warns(UserWarning, match=r"test row 4 \(column 'tags'\): tag 'E-y' at position 2 breaks .* BIOES"):
        run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    _, good = build(CONSTRAINED, train=[*ENDS, ["B-y", "E-y"]] * 4, test=[*ENDS, joined[1]])
    (expected,) = trainer().test(model, good, verbose=False)
    assert scores["test_loss"] == pytest.approx(expected["test_loss"])
    model, data = build(CONSTRAINED, train=[*ENDS, *joined] * 4)
    with pytest.raises(ValueError, match=r"train row 4 \(column 'tags'\): tag 'E-y' at position 2 breaks"):
        trainer(max_epochs=1).fit(model, data)


@pytest.mark.parametrize("streaming", [False, True])
def test_rows_that_are_cut_inside_a_span_train(trainer, streaming):
    model, data = build(
        CONSTRAINED,
        train=[*ENDS, ["B-x", "I-x", "I-x", "E-x"], ["O", "O", "B-x", None, "E-x"]] * 4,
        validation=ENDS,
        test=ENDS,
        options={"max_tokens": 3, "overlong": "truncate", "streaming": streaming},
    )
    trainer(max_epochs=2, max_steps=4).fit(model, data)


class TestStreams:
    """Tags of a stream are not known before they are read."""

    OPTIONS: ClassVar = {"streaming": True, "pool": 4}

    def test_a_training_row_is_refused_before_it_is_trained_on(self, trainer):
        model, data = build(CONSTRAINED, train=GOOD * 5 + BROKEN[:1], options=self.OPTIONS)
        message = r"train row \d+ of the stream.* \(column 'tags'\): tag 'I-x' at position 3 breaks .*'IOB1'"
        with pytest.raises(ValueError, match=message):
            trainer(max_epochs=1).fit(model, data)

    def test_without_constraints_it_trains(self, trainer):
        model, data = build(partial(CONSTRAINED, constrained=False), train=GOOD + BROKEN, options=self.OPTIONS)
        trainer(max_epochs=1).fit(model, data)

    @pytest.mark.parametrize("task", [CONSTRAINED, partial(MultiTask, heads={"tags": CONSTRAINED})])
    def test_other_splits_are_reported_once(self, trainer, task):
        model, data = build(task, test=GOOD + BROKEN, options=self.OPTIONS)
        with pytest.warns(UserWarning, match=r"test row 3 of the stream \(column 'tags'\): tag 'I-x'") as caught:
            (scores,) = trainer().test(model, data, verbose=False)
        assert sum("breaks the scheme" in str(each.message) for each in caught) == 1
        _, good = build(task)
        (expected,) = trainer().test(model, good, verbose=False)
        assert scores["test_loss"] == pytest.approx(expected["test_loss"])
