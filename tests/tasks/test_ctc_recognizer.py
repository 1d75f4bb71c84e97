from functools import partial

import datasets
import numpy as np
import pytest
import torch

from seqkit import CTCRecognizer, SequenceDataModule, packed
from seqkit.data import LabelSequences
from seqkit.labels import split
from seqkit.losses import CTC
from seqkit.nn import GRU, LSTM, Downsample, Stack, Upsample
from tests.tasks.ctc_cases import EMBEDDING, ENCODER, build


def test_learns_and_predicts_names(words, trainer):
    model, data = build(words, optimizer=partial(torch.optim.Adam, lr=0.02))
    run = trainer(max_epochs=15)
    run.fit(model, data)
    assert {"val_label_error_rate", "val_sequence_error_rate", "val_loss"} <= set(run.callback_metrics)
    (scores,) = run.test(model, data, verbose=False)
    assert scores["test_label_error_rate"] < 0.1
    assert scores["test_infeasible"] == 0
    found = {
        row: phones
        for rows, columns in run.predict(model, data)
        for row, phones in zip(rows, columns["phones"], strict=True)
    }
    wrong = sum(found[i] not in references for i, references in enumerate(words["test"]["phones"]))
    assert wrong / 20 == pytest.approx(scores["test_sequence_error_rate"])


def test_overfits_eight_rows(words, trainer):
    few = words["train"].select(range(8))
    model, data = build({"train": few, "validation": few}, optimizer=partial(torch.optim.Adam, lr=0.05))
    trainer(max_epochs=60, limit_val_batches=0).fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_sequence_error_rate"] == 0


@pytest.mark.parametrize("layer", [Upsample, partial(Upsample, output_size=6), partial(Downsample, factor=1)])
def test_gradients_reach_every_parameter(words, layer):
    encoder = partial(
        Stack, layers=[partial(LSTM, hidden_size=8, bidirectional=True), layer, partial(GRU, hidden_size=6)]
    )
    model, data = build(words, encoder=encoder)
    batch = data.rows("train")[list(range(60))]
    total, _ = model.compute_loss(model(batch.inputs), batch.targets["phones"])
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_batch_equals_its_rows_alone(words):
    model, data = build(words)
    model, rows = model.double().eval(), data.rows("train")
    chosen = [3, 1, 4, 15, 9, 2, 30]
    batch = rows[chosen]
    total, units = model.compute_loss(model(batch.inputs), batch.targets["phones"])
    alone = [rows[[row]] for row in chosen]
    each = [model.compute_loss(model(one.inputs), one.targets["phones"])[0] for one in alone]
    assert units == len(chosen)
    torch.testing.assert_close(total, sum(each))
    together = model.predictions_to_python(model.decode(model(batch.inputs)))
    singles = {int(one.rows): model.predictions_to_python(model.decode(model(one.inputs)))[0] for one in alone}
    assert together == [singles[row] for row in batch.rows.tolist()]


def test_every_row_weighs_the_same(words, trainer):
    model, data = build(words, optimizer=partial(torch.optim.SGD, lr=0.0))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert model._units_per_step == pytest.approx(60 / run.global_step)
    (scores,) = run.validate(model, data, verbose=False)
    batch = data.rows("validation")[list(range(20))]
    with torch.no_grad():
        expected = CTC()(model.eval()(batch.inputs), batch.targets["phones"])
    assert scores["val_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_beam_finds_more_probable_sequences(words):
    model, data = build(words, beam_width=1)
    batch = data.rows("test")[list(range(20))]
    with torch.no_grad():
        output = model.double().eval()(batch.inputs)
    greedy = CTC().each(output, model.decode(output))
    model.beam_width = 8
    wide = CTC().each(output, model.decode(output))
    assert (wide <= greedy + 1e-9).all()
    assert (wide < greedy - 1e-9).any()


def test_rows_that_cannot_be_aligned_are_named_and_dropped(words, trainer, caplog):
    rows = words["train"].to_dict()
    rows["phones"][5] = [["K"] * 30]
    rows["phones"][7] = [["K"] * 31, rows["phones"][7][0]]
    splits = {"train": datasets.Dataset.from_dict(rows), "validation": datasets.Dataset.from_dict(rows)}
    model, data = build(splits)
    run = trainer(max_epochs=2)
    with caplog.at_level("INFO"):
        run.fit(model, data)
    assert run.callback_metrics["train_infeasible"] == run.callback_metrics["val_infeasible"] == 1
    said = [record.message for record in caplog.records if "fewer steps" in record.message]
    assert said == [
        f"rows of {stage} that have fewer steps than their labels in 'phones' need, or a label that training "
        f"lacks, and do not count in the loss: 5"
        for stage in ("val", "train")
    ]
    model, data = build(splits, infeasible="raise")
    steps = 2 * len(rows["word"][5])
    message = (
        rf"row 5: {steps} steps, but its labels in 'phones' need 59; give the encoder more steps \(seqkit.nn.Up"
    )
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1, limit_val_batches=0).fit(model, data)


def test_a_batch_without_a_row_that_can_be_aligned(words, trainer):
    rows = {"word": ["a", "bb"], "phones": [[["K"] * 30], [["K"] * 30]]}
    few = datasets.Dataset.from_dict(rows)
    model, data = build({"train": few, "validation": few})
    before = [parameter.clone() for parameter in model.parameters()]
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert run.callback_metrics["train_infeasible"] == 2
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(old, new)
    loss = model.step(data.rows("train")[[]], "train")
    assert loss == 0


def test_unseen_characters_labels_and_lengths(words, trainer):
    """Unseen characters and labels, empty references, and words ten times longer than any in training."""
    test = datasets.Dataset.from_dict(
        {
            "word": ["äöü", "a", "abxk" * 20],
            "phones": [[["A", "Ø"]], [[]], [["A", "B"], ["A"]]],
        }
    )
    model, data = build({"train": words["train"], "validation": words["validation"], "test": test}, beam_width=4)
    run = trainer(max_epochs=1)
    with pytest.warns(UserWarning, match=r"test row 0 \(column 'phones'\): the training split has no label 'Ø'"):
        run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    assert scores["test_infeasible"] == 1  # the row with the unseen label
    assert scores["test_label_error_rate"] > 0
    model, data = build(
        {"train": words["train"], "validation": words["validation"], "test": test}, infeasible="raise"
    )
    message = "row 0: 'phones' holds a label that training did not have; drop the row with dataset.filter, or"
    with pytest.raises(ValueError, match=message), pytest.warns(UserWarning, match="no label 'Ø'"):
        trainer().test(model, data, verbose=False)
    strict = SequenceDataModule({"test": test}, spec=data.spec, max_tokens=200, unseen_labels="error")
    with pytest.raises(ValueError, match=r"test row 0 \(column 'phones'\): the training split has no label 'Ø'"):
        trainer().test(model, strict, verbose=False)


def test_features_with_fewer_steps_than_frames(trainer):
    """Frames, as of speech: pooled in time, several layers deep."""
    random = np.random.default_rng(0)
    rows = {"frames": [], "text": []}
    for _ in range(24):
        letters = random.choice(list("abc"), random.integers(1, 4))
        frames = [np.eye(3)["abc".index(letter)] for letter in letters for _ in range(random.integers(5, 9))]
        rows["frames"].append([frame.tolist() for frame in frames])
        rows["text"].append("".join(letters))
    made = datasets.Dataset.from_dict(rows)
    data = SequenceDataModule(
        {"train": made, "validation": made}, "frames", {"text": LabelSequences()}, max_tokens=200
    )
    torch.manual_seed(0)
    layers = [Downsample, partial(LSTM, hidden_size=16, bidirectional=True)]
    model = CTCRecognizer(
        data.spec, encoder=partial(Stack, layers=layers), optimizer=partial(torch.optim.Adam, lr=0.03), beam_width=3
    )
    run = trainer(max_epochs=40, limit_val_batches=0)
    run.fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_label_error_rate"] < 0.1


def test_streaming(words, trainer):
    data = SequenceDataModule(
        words, inputs="word", targets={"phones": LabelSequences()}, max_tokens=32, streaming=True, pool=30
    )
    model = CTCRecognizer(data.spec, encoder=ENCODER, embedding=EMBEDDING)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert "val_label_error_rate" in run.callback_metrics


def test_targets_are_in_the_order_of_rows(words):
    _, data = build(words)
    batch = data.rows("train")[[3, 50, 17, 8]]
    references = split(batch.targets["phones"])
    said = [
        [data.spec["targets"]["phones"]["names"][i] for i in part.tolist()]
        for part in references.labels.split(references.lengths.tolist())
    ]
    expected = [reference for row in batch.rows.tolist() for reference in words["train"][row]["phones"]]
    assert said == expected
    lengths = packed.lengths(batch.inputs["word"]).tolist()
    assert lengths == [len(words["train"][row]["word"]) for row in batch.rows.tolist()]


class TestBadInput:
    def test_labels_per_token(self, splits):
        data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
        message = (
            "CTCRecognizer needs label sequences, but target 'tags' is a class per token; read the column with"
        )
        with pytest.raises(ValueError, match=message):
            CTCRecognizer(data.spec, encoder=ENCODER, embedding=EMBEDDING)

    def test_a_beam_width_of_0(self, words):
        with pytest.raises(ValueError, match="CTCRecognizer: beam_width is 0; give 1 or more"):
            build(words, beam_width=0)

    def test_truncated_inputs(self, words):
        data = SequenceDataModule(words, "word", {"phones": LabelSequences()}, max_tokens=32, overlong="truncate")
        message = "overlong=\"truncate\" would cut the inputs but not the label sequences in 'phones'; set it to"
        with pytest.raises(ValueError, match=message):
            data.rows("train", training=True)
