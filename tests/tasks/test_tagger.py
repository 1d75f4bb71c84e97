import copy
from functools import partial

import datasets
import pytest
import torch

from seqkit import SequenceDataModule, Tagger, packed
from seqkit.losses import CrossEntropy
from seqkit.nn import CRF, LSTM, Embedding
from seqkit.tasks import TaskOutput

EMBEDDING = partial(Embedding, embedding_dim=8)
ENCODER = partial(LSTM, hidden_size=8, bidirectional=True)
SENTENCES = [
    (["Ann", "sat"], ["B-person", "O"]),
    (["in", "New", "York", "City"], ["O", "B-location", "I-location", "I-location"]),
    (["York"], ["B-location"]),
    (["Ann", "Ann", "Lee", "met", "York"], ["B-person", "B-person", "I-person", "O", "B-location"]),
]


@pytest.fixture
def entities():
    rows = {"words": [words for words, _ in SENTENCES] * 6, "tags": [tags for _, tags in SENTENCES] * 6}
    made = datasets.Dataset.from_dict(rows)
    return datasets.DatasetDict(train=made, validation=made, test=made)


def build(entities, **options):
    data = SequenceDataModule(entities, inputs="words", targets="tags", max_tokens=32)
    torch.manual_seed(0)
    return Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING, **({"decoder": CRF} | options)), data


def test_learns_spans_and_monitors_span_f1(entities, trainer):
    model, data = build(entities, optimizer=partial(torch.optim.Adam, lr=0.05), per_class=True)
    assert model.monitor == ("val_span_f1", "max")
    run = trainer(max_epochs=15)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    assert scores["test_span_f1"] == scores["test_span_f1_person"] == scores["test_accuracy"] == 1.0
    rows = {
        row: tags
        for rows, columns in run.predict(model, data)
        for row, tags in zip(rows, columns["tags"], strict=True)
    }
    assert [rows[i] for i in range(len(rows))] == entities["test"]["tags"][:]


def test_the_loss_is_the_mean_over_tokens_of_the_sequence_loss(entities):
    model, data = build(entities)
    batch = data.rows("train")[[0, 1, 2, 3]]
    output, target = model(batch.inputs), batch.targets["tags"]
    total, units = model.compute_loss(output, target)
    assert units.item() == 12
    each = [
        model.decoder(packed.pack([scores]), packed.pack([tags]))
        for scores, tags in zip(packed.unpack(output), packed.unpack(target), strict=True)
    ]
    torch.testing.assert_close(total, -torch.cat(each).sum())
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_untrained_predictions_follow_the_scheme_if_constrained(entities):
    for constrained in (True, False):
        model, data = build(entities, constrained=constrained)
        with torch.no_grad():
            model.decoder.start[model.labels.names.index("I-person")] = 100.0
        batch = data.rows("train")[[0, 1, 2, 3]]
        first = model.to_python(packed.first(model.decode(model(batch.inputs))))
        assert ("I-person" in first) is not constrained


def test_loads_from_a_checkpoint_alone(entities, trainer, tmp_path):
    model, data = build(entities)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = Tagger.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    batch = data.rows("test")[[0, 1, 2, 3]]
    torch.testing.assert_close(again.decode(again(batch.inputs)), model.decode(model(batch.inputs)))
    assert torch.equal(again.decoder.allowed_transitions, model.decoder.allowed_transitions)


def test_tokens_without_a_label_do_not_count(trainer):
    rows = {"words": [words for words, _ in SENTENCES] * 6, "tags": [[*tags] for _, tags in SENTENCES] * 6}
    for tags in rows["tags"][::2]:
        tags[-1] = None
    made = datasets.Dataset.from_dict(rows)
    model, data = build(datasets.DatasetDict(train=made, validation=made, test=made))
    batch = data.rows("train")[[0, 1, 2, 3]]
    target = batch.targets["tags"]
    assert (target.data == -100).sum() == 2
    total, units = model.compute_loss(model(batch.inputs), target)
    assert units == 10
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    with torch.no_grad():
        found = model.sequence_losses(TaskOutput(model(batch.inputs), target))
        each = [data.rows("train")[[int(row)]] for row in batch.rows]
        alone = [model.compute_loss(model(one.inputs), one.targets["tags"]) for one in each]
    torch.testing.assert_close(found, torch.stack([total / max(int(units), 1) for total, units in alone]))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    correct = [
        predicted == true
        for rows, columns in run.predict(model, data)
        for row, tags in zip(rows, columns["tags"], strict=True)
        for predicted, true in zip(tags, made["tags"][row], strict=True)
        if true is not None
    ]
    assert len(correct) == 6 * 12 - 12
    assert 0 < sum(correct) < len(correct)
    assert scores["test_accuracy"] == pytest.approx(sum(correct) / len(correct))


def test_tags_without_a_scheme_are_scored_per_token(splits):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    model = Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING, decoder=CRF)
    assert model.scheme is None
    assert model.monitor == ("val_accuracy", "max")
    assert model.decoder.allowed_transitions.all()


def test_error_messages(entities):
    with pytest.raises(ValueError, match=r"a decoder has a loss of its own .*leave out `loss`, or the decoder"):
        build(entities, loss=CrossEntropy)
    data = SequenceDataModule(entities, inputs="words", targets="tags", max_tokens=32)
    spec = copy.deepcopy(data.spec)
    spec["targets"]["tags"]["names"][0] = "E-person"
    with pytest.raises(ValueError, match="tag 'E-person' is not one of scheme IOB1"):
        Tagger(spec, encoder=ENCODER, embedding=EMBEDDING, scheme="IOB1")


@pytest.mark.parametrize(
    "options",
    [
        {"decoder": None, "loss": partial(CrossEntropy, ignore_index=1)},
        {"decoder": partial(CRF, ignore_index=1), "constrained": False},
    ],
)
def test_all_metrics_ignore_what_the_loss_or_the_decoder_ignores(options, entities):
    """The tag 1 is B-person, the names are O or sorted: B-location, B-person, I-location, I-person, O."""
    model, data = build(entities, **options)
    assert data.spec["targets"]["tags"]["names"][1] == "B-person"
    batch = data.rows("train")[[3, 1]]
    target = batch.targets["tags"]
    guess = torch.where(target.data == 1, 4, target.data)  # wrong only where the target does not count
    output = target._replace(data=torch.nn.functional.one_hot(guess, 5) * 50.0)
    total, units = model.compute_loss(output, target)
    assert units == (target.data != 1).sum() == 7
    with torch.no_grad():
        model.update_metrics("val", total, units, TaskOutput(output, target))
    scores = model.compute_metrics("val")
    assert scores["val_accuracy"] == scores["val_span_f1"] == scores["val_span_precision"] == 1.0
    report = model.build_report()
    for metric, pair in zip(report, model.report_inputs(output, target), strict=True):
        metric.update(*pair)
    assert report[0].compute()["counts"].tolist() == [[2, 0, 2, 1, 2]] * 3
    assert report[1].compute()["counts"].tolist() == [[2, 1]] * 3
