import logging
from functools import partial

import datasets
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.demos.boring_classes import DemoModel

from seqkit import Classifier, LanguageModel, SequenceDataModule, Tagger
from seqkit.callbacks import NonMonotonicAveraging, WordVectors
from seqkit.data import Characters, WordCharacters, Words
from seqkit.nn import LSTM, CharacterLSTM, Embedding

SIZE = 6


@pytest.fixture
def path(tmp_path):
    """A file of vectors for 14 of the 20 words of ``splits``, two of them in another case, and for another word."""
    generator = torch.Generator().manual_seed(0)
    lines = []
    for word in ["W18", "W19", *(f"w{i}" for i in range(12)), "other"]:
        lines.append(" ".join([word, *(f"{x:.4f}" for x in torch.randn(SIZE, generator=generator).tolist())]))
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "vectors.txt")


class Watch(Callback):
    """Records the embedding before the first step and after each epoch."""

    def __init__(self):
        self.weights = []

    def on_train_start(self, trainer, pl_module):
        self.weights.append(pl_module.embeddings[0].weight.detach().clone())

    def on_train_epoch_end(self, trainer, pl_module):
        self.weights.append(pl_module.embeddings[0].weight.detach().clone())


def build(splits, optimizer=torch.optim.Adam):
    data = SequenceDataModule(splits, inputs={"words": Words(min_frequency=2)}, targets="tags", max_tokens=32)
    torch.manual_seed(0)
    embedding = partial(Embedding, embedding_dim=SIZE, word_dropout=0.3)
    return Tagger(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=embedding, optimizer=partial(optimizer, lr=0.05)
    ), data


def fit(splits, trainer, callback, epochs=3, **options):
    model, data = build(splits, **options)
    watch = Watch()
    run = trainer(max_epochs=epochs, callbacks=[callback, watch], limit_val_batches=0)
    run.fit(model, data)
    return model, data, run, watch.weights


def changed_rows(one, other):
    return (one != other).any(1)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, partial(torch.optim.AdamW, weight_decay=0.5)])
@pytest.mark.parametrize("frozen_epochs", [0, 1, 2, -1])
def test_vectors_are_frozen_for_some_epochs(splits, trainer, path, frozen_epochs, optimizer, caplog):
    callback = WordVectors(path, frozen_epochs=frozen_epochs)
    with caplog.at_level(logging.INFO):
        model, _, _, weights = fit(splits, trainer, callback, optimizer=optimizer)
    known = callback.vectors.known
    assert (int(callback.vectors.exact.sum()), int(callback.vectors.folded.sum()), known[0]) == (12, 2, False)
    assert (
        "14 of 21 words have a vector: 12 in the same case, 2 in another case; 7 have none, such as '<unk>'"
        in caplog.text
    )
    torch.testing.assert_close(weights[0][known], callback.vectors.values[known], rtol=0, atol=0)
    for epoch in range(3):
        frozen = frozen_epochs == -1 or epoch < frozen_epochs
        assert changed_rows(weights[epoch], weights[epoch + 1])[known].any() != frozen
        assert changed_rows(weights[epoch], weights[epoch + 1])[~known].all()
    assert model.embeddings[0].frozen is None


@pytest.mark.parametrize("stop", [1, 2])
def test_resumes_from_a_checkpoint_without_the_file(splits, trainer, path, tmp_path, stop):
    whole = fit(splits, trainer, WordVectors(path, frozen_epochs=2), epochs=4)[3]
    *_, run, _ = fit(splits, trainer, WordVectors(path, frozen_epochs=2), epochs=stop)
    run.save_checkpoint(tmp_path / "part.ckpt")
    model, data = build(splits)
    watch = Watch()
    callback = WordVectors(str(tmp_path / "gone"), frozen_epochs=2)
    run = trainer(max_epochs=4, callbacks=[callback, watch], limit_val_batches=0)
    run.fit(model, data, ckpt_path=tmp_path / "part.ckpt", weights_only=True)
    torch.testing.assert_close(watch.weights[1:], whole[1 + stop :], rtol=0, atol=0)


def test_a_checkpoint_made_without_vectors_keeps_its_embedding(splits, trainer, path, tmp_path):
    class Nothing(Callback):
        pass

    model, _, run, _ = fit(splits, trainer, Nothing(), epochs=1)
    run.save_checkpoint(tmp_path / "plain.ckpt")
    trained = model.embeddings[0].weight.detach().clone()
    model, data = build(splits)
    watch = Watch()
    run = trainer(max_epochs=2, callbacks=[WordVectors(path, frozen_epochs=-1), watch], limit_val_batches=0)
    with pytest.warns(
        UserWarning, match=r"made without word vectors; its embedding is kept, and .*vectors.txt is not read"
    ):
        run.fit(model, data, ckpt_path=tmp_path / "plain.ckpt", weights_only=True)
    torch.testing.assert_close(watch.weights[0], trained, rtol=0, atol=0)
    assert changed_rows(watch.weights[0], watch.weights[1]).all()  # and trained


def test_a_tied_language_model_has_words_without_a_vector_of_the_same_spread(splits, trainer, path):
    data = SequenceDataModule(splits.select_columns("words"), {"words": Words()}, max_tokens=32)
    torch.manual_seed(0)
    parts = {"encoder": partial(LSTM, hidden_size=SIZE), "embedding": partial(Embedding, embedding_dim=SIZE)}
    model = LanguageModel(data.spec, **parts, tied=True)
    callback, watch = WordVectors(path), Watch()
    trainer(max_epochs=1, callbacks=[callback, watch], limit_val_batches=0).fit(model, data)
    known = callback.vectors.known
    spread = watch.weights[0][~known].std() / watch.weights[0][known].std()
    assert 0.7 < spread < 1.4  # of eight rows; it would be 0.06 if the other rows kept their initial spread


def test_frozen_vectors_and_an_average_of_the_weights(splits, trainer, path):
    """Weights are averaged correctly although the model gets a buffer, the frozen rows, during the fit."""

    class Trigger(Callback):
        def on_train_start(self, trainer, pl_module):
            averaging.triggered = True

    class Normed(LSTM):
        """An LSTM with buffers that are not averaged."""

        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.norm = torch.nn.BatchNorm1d(input_size)

        def forward(self, packed):
            return super().forward(packed._replace(data=self.norm(packed.data)))

    model, data = build(splits)
    model.encoder = Normed(SIZE, 4)
    averaging, watch = NonMonotonicAveraging(), Watch()
    callback = WordVectors(path, frozen_epochs=-1)
    run = trainer(max_epochs=3, callbacks=[callback, Trigger(), averaging, watch])
    run.fit(model, data)
    known = callback.vectors.known
    torch.testing.assert_close(model.embeddings[0].weight[known], callback.vectors.values[known])
    torch.testing.assert_close(model.embeddings[0].weight[~known], averaging.average[0][~known])
    assert int(model.encoder.norm.num_batches_tracked) == run.global_step  # not averaged
    checkpoint = {"state_dict": model.state_dict()}
    averaging.on_save_checkpoint(run, model, checkpoint)
    saved = checkpoint["state_dict"]
    torch.testing.assert_close(saved["encoder.norm.running_mean"], model.encoder.norm.running_mean)


def test_a_second_fit_of_the_trainer_continues_and_a_new_fit_reads_the_file(splits, trainer, path):
    callback = WordVectors(path)
    model, data, run, weights = fit(splits, trainer, callback, epochs=1)
    run.fit_loop.max_epochs = 2
    run.fit(model, data)
    assert not torch.equal(weights[2], weights[0])
    again = fit(splits, trainer, callback, epochs=1)[3]
    torch.testing.assert_close(again[0], weights[0], rtol=0, atol=0)


def test_the_checkpoint_loads_without_the_file(splits, trainer, path, tmp_path):
    model, data, run, _ = fit(splits, trainer, WordVectors(path), epochs=1)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = Tagger.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    batch = data.rows("test")[[0, 1, 2]]
    torch.testing.assert_close(again.eval()(batch.inputs), model.eval()(batch.inputs))


def test_error_messages(splits, trainer, path):
    with pytest.raises(ValueError, match="frozen_epochs is -2; give a number of epochs, or -1 for all"):
        WordVectors(path, frozen_epochs=-2)
    with pytest.raises(ValueError, match=r"there is no input 'form'; the inputs are \['words'\]"):
        fit(splits, trainer, WordVectors(path, "form"))
    inputs = {"words": None, "letters": WordCharacters(column="words")}
    data = SequenceDataModule(splits, inputs, "tags", max_tokens=32)
    letters = {"letters": partial(CharacterLSTM, embedding_dim=3, hidden_size=3)}
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=5),
        embeddings=letters,
    )
    with pytest.raises(
        ValueError, match=r"input 'letters' goes through CharacterLSTM; give it a seqkit.nn.Embedding"
    ):
        trainer(max_epochs=1, callbacks=[WordVectors(path, "letters")]).fit(model, data)
    with pytest.raises(ValueError, match=r"an embedding of shape \(21, 5\); set its embedding_dim to 6"):
        trainer(max_epochs=1, callbacks=[WordVectors(path)]).fit(model, data)
    texts = datasets.Dataset.from_dict({"text": ["ab"] * 20, "label": ["x", "y"] * 10})
    ids = SequenceDataModule(texts, {"text": Characters()}, "label", max_tokens=32)
    model = Classifier(
        ids.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=SIZE)
    )
    with pytest.raises(ValueError, match="the ids of Characters are not words; use Words or ShapedWords"):
        trainer(max_epochs=1, callbacks=[WordVectors(path)]).fit(model, ids)
    with pytest.raises(TypeError, match="WordVectors: DemoModel has no embeddings by input, as Tagger has"):
        WordVectors(path).on_fit_end(None, DemoModel())


def test_both_texts_of_a_pair_share_one_embedding():
    rows = datasets.Dataset.from_dict({"a": [["x"], ["y"]] * 5, "b": [["y"], ["x"]] * 5, "label": ["n", "p"] * 5})
    data = SequenceDataModule(rows, inputs=["a", "b"], unaligned="b", targets="label", max_tokens=8)
    model = Classifier(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=SIZE)
    )
    for column in (None, "a", "b"):
        embedding, words = WordVectors("vectors.txt", column)._find_embedding(model)
        assert embedding is model.embeddings[0]
        assert len(words) == embedding.input_size
