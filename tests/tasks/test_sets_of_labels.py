"""Sets of labels as inputs: the notes of each chord."""

from functools import partial

import datasets
import pytest
import torch

from seqkit import SequenceDataModule, Tagger, packed
from seqkit.data import Labels, LabelSequences, MultiLabels, Values
from seqkit.nn import LSTM, Embedding
from tests.data.rows.cases import check_rows

CHORDS = [[["c", "e", "g"], []], [["a", "c", "c"]], [["e"], ["g", "a"], ["c"]], [["g"], ["e", "c"]]]
KEYS = [["I", "V"], ["V"], ["I", "V", "I"], ["V", "I"]]
NOTES = ["a", "c", "e", "g"]
ROWS = datasets.Dataset.from_dict({"chords": CHORDS * 3, "keys": KEYS * 3})


def build(splits=None, embedding=None, **options):
    splits = splits or {"train": ROWS, "validation": ROWS}
    data = SequenceDataModule(splits, {"chords": MultiLabels()}, "keys", max_tokens=8, **options)
    torch.manual_seed(0)
    return Tagger(data.spec, encoder=partial(LSTM, hidden_size=5), embedding=embedding), data


def plain_features(row, embedding):
    if embedding is None:
        return torch.tensor([[float(note in chord) for note in NOTES] for chord in row])
    zero = torch.zeros(embedding.output_size)
    return torch.stack([sum((embedding.weight[NOTES.index(n)] for n in sorted(set(chord))), zero) for chord in row])


@pytest.mark.parametrize("embedding", [None, partial(Embedding, embedding_dim=3)])
def test_each_row_alone_gives_the_same(embedding):
    model, data = build(embedding=embedding)
    assert data.spec["inputs"]["chords"]["size"] == 4
    module = None if embedding is None else model.embeddings[0]
    stock = torch.nn.LSTM(4 if embedding is None else 3, 5)
    stock.load_state_dict(model.encoder.state_dict())
    batch = data.rows("train")[[2, 0, 1, 3]]
    assert batch.inputs["chords"].data.dtype == torch.float32
    output = model(batch.inputs)
    output.data.square().sum().backward()
    found = [parameter.grad for parameter in (model.embeddings.parameters() if module else model.head.parameters())]
    model.zero_grad()
    losses = []
    for row, scores in zip(batch.rows.tolist(), packed.unpack(output), strict=True):
        expected = model.head(stock(plain_features(CHORDS[row], module))[0])
        torch.testing.assert_close(scores, expected)
        losses.append(expected.square().sum())
    sum(losses).backward()
    expected = [
        parameter.grad for parameter in (model.embeddings.parameters() if module else model.head.parameters())
    ]
    torch.testing.assert_close(found, expected)


def test_lists_and_arrow_give_the_same_batch():
    _, data = build()
    check_rows(data.rows("train").dataset, ["chords"], ["keys"], gathered=True)


def test_it_trains(trainer):
    model, data = build(embedding=partial(Embedding, embedding_dim=3))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    assert "val_accuracy" in run.callback_metrics


@pytest.mark.parametrize("stream", [False, True])
def test_an_unseen_label_is_left_out(trainer, stream):
    rows = [[["a", "h"], ["c"]], [["h"], ["h", "x"], ["g"]]]
    test = datasets.Dataset.from_dict({"chords": rows, "keys": [["I", "V"], ["I", "V", "V"]]})
    known = [[[note for note in chord if note in NOTES] for chord in row] for row in rows]
    clean = datasets.Dataset.from_dict({"chords": known, "keys": test["keys"][:]})
    splits = {"train": ROWS, "test": test.to_iterable_dataset() if stream else test}
    model, data = build(splits, validation_fraction=0)
    place = "test row 0 of the stream" if stream else "test row 0"
    with pytest.warns(
        UserWarning, match=rf"{place} \(column 'chords'\): the training split has no label 'h'.* left out"
    ):
        found = trainer().predict(model, data)
    _, plain = build({"train": ROWS, "test": clean}, validation_fraction=0)
    expected = trainer().predict(model, plain)
    assert {row: keys for p in found for row, keys in zip(p.rows, p.columns["keys"], strict=True)} == {
        row: keys for p in expected for row, keys in zip(p.rows, p.columns["keys"], strict=True)
    }
    strict = SequenceDataModule(splits, spec=data.spec, max_tokens=8, unseen_labels="error")
    with pytest.raises(ValueError, match=rf"{place} \(column 'chords'\): .*MultiLabels\(names=\[...\]\)"):
        trainer().test(model, strict, verbose=False)


def test_what_is_no_input_is_refused():
    for encoder in (Labels(), Values(), LabelSequences()):
        with pytest.raises(ValueError, match=f"input 'keys': {type(encoder).__name__} encodes targets; read it by"):
            SequenceDataModule({"train": ROWS}, {"keys": encoder}, max_tokens=8).spec  # noqa: B018
    with pytest.raises(ValueError, match="MultiLabels as an input needs a list of labels for each token"):
        SequenceDataModule({"train": ROWS}, {"keys": MultiLabels()}, max_tokens=8).spec  # noqa: B018
    with pytest.raises(ValueError, match=r"word_dropout=0.5, but MultiLabels has no unknown token"):
        build(embedding=partial(Embedding, embedding_dim=3, word_dropout=0.5))
