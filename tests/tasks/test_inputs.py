"""Several inputs of a task: words, their characters and shapes, columns of numbers."""

import json
from functools import partial
from pathlib import Path

import datasets
import pytest
import tokenizers
import torch
import yaml
from torch import nn

from seqkit import Classifier, LanguageModel, SequenceDataModule, Tagger, packed
from seqkit.cli import main
from seqkit.data import (
    Characters,
    Encoder,
    Ids,
    ShapedWords,
    TokenizerFile,
    WordCharacters,
    Words,
    WordShapes,
)
from seqkit.data.encoders import input_encoder
from seqkit.nn import LSTM, CharacterCNN, CharacterLSTM, Embedding
from tests import processes

ENCODER = partial(LSTM, hidden_size=8, bidirectional=True)
INPUTS = {
    "words": Words(min_frequency=2),
    "characters": WordCharacters(min_frequency=1, column="words"),
    "shapes": WordShapes(column="words"),
    "values": None,
}
EMBEDDINGS = {
    "lstm": partial(CharacterLSTM, embedding_dim=4, hidden_size=5),
    "cnn": partial(CharacterCNN, embedding_dim=4, filters=5, widths=(2, 3)),
}


def build(splits, characters="lstm", **options):
    data = SequenceDataModule(splits, inputs=dict(INPUTS), targets="tags", max_tokens=32)
    torch.manual_seed(0)
    embeddings = {"characters": EMBEDDINGS[characters], "shapes": partial(Embedding, embedding_dim=3)}
    model = Tagger(
        data.spec, encoder=ENCODER, embedding=partial(Embedding, embedding_dim=8), embeddings=embeddings, **options
    )
    assert model.encoder.input_size == 8 + 10 + 3 + 1
    return model, data


def test_a_batch_equals_its_sequences_alone_in_stock_torch(splits):
    model, data = build(splits)
    model = model.double().eval()
    rows = data.rows("train")
    batch = rows[[3, 1, 4, 15, 9, 2]]
    stock = nn.LSTM(22, 8, bidirectional=True).double()
    stock.load_state_dict(model.encoder.state_dict())
    letters = nn.LSTM(4, 5, bidirectional=True).double()
    words, characters, shapes, _ = model.embeddings
    letters.load_state_dict(characters.lstm.state_dict())
    for row, mine in zip(batch.rows.tolist(), packed.unpack(model(batch.inputs)), strict=True):
        alone = rows[row].inputs
        finals = [
            letters(characters.embedding.weight[word])[1][0].flatten()
            for word in packed.unpack(alone["characters"])
        ]
        vectors = [words.weight[alone["words"].data], torch.stack(finals), shapes.weight[alone["shapes"].data]]
        hidden, _ = stock(torch.cat([*vectors, alone["values"].data.double().view(-1, 1)], dim=1))
        torch.testing.assert_close(mine, model.head(hidden))


@pytest.mark.parametrize("characters", EMBEDDINGS)
def test_gradients_reach_every_parameter(characters, splits):
    model, data = build(splits, characters)
    batch = data.rows("train")[list(range(16))]
    total, _ = model.compute_loss(model(batch.inputs), batch.targets["tags"])
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("characters", EMBEDDINGS)
def test_overfits_eight_rows(characters, splits, trainer):
    few = splits["train"].select(range(8))
    model, data = build({"train": few, "validation": few}, characters, optimizer=partial(torch.optim.Adam, lr=0.02))
    trainer(max_epochs=60, limit_val_batches=0).fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_accuracy"] > 0.99


def test_unseen_characters_and_words_ten_times_longer(splits, trainer):
    model, data = build(splits)
    long = {"words": [["w1", "é" * 30, "w2w3" * 10], [""]], "values": [[0.0, 1.0, 2.0], [3.0]]}
    rows = splits | {"test": type(splits["test"]).from_dict(long)}
    data = SequenceDataModule(rows, max_tokens=32, spec=model.spec)
    (predictions,) = trainer().predict(model, data)
    assert [len(tags) for tags in predictions.columns["tags"]] == [3, 1]


@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
def test_streaming(splits, trainer):
    model, data = build(splits)
    streamed = SequenceDataModule(splits, dict(INPUTS), "tags", max_tokens=32, streaming=True)
    run = trainer(max_epochs=1)
    run.fit(model, streamed)
    (one,) = run.test(model, data, verbose=False)
    (other,) = run.test(
        model, SequenceDataModule(splits, max_tokens=32, streaming=True, spec=model.spec), verbose=False
    )
    assert one["test_loss"] == pytest.approx(other["test_loss"], rel=1e-5)


def test_loads_from_a_checkpoint_alone(splits, trainer, tmp_path):
    model, data = build(splits)
    run = trainer(max_epochs=1)
    run.fit(model, data)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = Tagger.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True)
    batch = SequenceDataModule(splits, max_tokens=32, spec=again.spec).rows("test")[[0, 1, 2]]
    torch.testing.assert_close(again.eval()(batch.inputs), model.eval()(batch.inputs))


def test_characters_need_an_embedding_of_their_own(splits):
    data = SequenceDataModule(splits, inputs=dict(INPUTS), targets="tags", max_tokens=32)
    with pytest.raises(
        ValueError, match=r"input 'characters' holds a sequence of ids for each token, .*CharacterLSTM"
    ):
        Tagger(data.spec, encoder=ENCODER, embedding=partial(Embedding, embedding_dim=8))


# Calls of Lightning that the pinned jsonargparse deprecates.
@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_a_checkpoint_alone_predicts_in_a_new_process(splits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits.save_to_disk("rows")
    part = {"class_path": "seqkit.nn.CharacterLSTM", "init_args": {"embedding_dim": 4, "hidden_size": 5}}
    words = {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 8, "word_dropout": 0.1}}
    inputs = {
        "words": None,
        "characters": {"class_path": "seqkit.data.WordCharacters", "init_args": {"column": "words"}},
    }
    vectors = {
        "class_path": "seqkit.callbacks.WordVectors",
        "init_args": {"path": "vectors.txt", "frozen_epochs": 1},
    }
    Path("vectors.txt").write_text("".join(f"w{i} {' '.join(['0.5', str(i)] * 4)}\n" for i in range(15)))
    config = {
        "model": {
            "class_path": "seqkit.Tagger",
            "init_args": {
                "embeddings": {"words": words, "characters": part},
                "encoder": {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 8}},
            },
        },
        "data": {
            "source": {"class_path": "seqkit.data.SavedDataset", "init_args": {"path": "rows"}},
            "inputs": inputs,
            "targets": "tags",
            "max_tokens": 64,
        },
        "trainer": {
            "max_epochs": 2,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [vectors],
        },
    }
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    cli = main(["fit", "--config", "config.yaml"])
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    predictions = cli.trainer.predict(cli.model, cli.datamodule)
    Path("vectors.txt").unlink()
    datasets.DatasetDict(test=splits["test"].select_columns("words")).save_to_disk("bare")
    options = [
        "--data.source.init_args.path=bare",
        "--trainer.accelerator=cpu",
        "--trainer.enable_progress_bar=false",
    ]
    command = ["predict", f"--ckpt_path={checkpoint}", "--predictions.path=out.jsonl", *options]
    processes.run("-m", "seqkit", *command)
    lines = [json.loads(line)["tags"] for line in Path("out.jsonl").read_text().splitlines()]
    mine = {row: tags for rows, columns in predictions for row, tags in zip(rows, columns["tags"], strict=True)}
    assert lines == [mine[row] for row in range(20)]


VOCABULARY = {"a": 0, "b": 1, "?": 2, "<mask>": 3}
UNKNOWN_IDS = {
    "words": (Words(min_frequency=1), [["a", "b"]], 0),
    "characters": (Characters(min_frequency=1), ["ab"], 0),
    "shapes": (ShapedWords(min_frequency=1), [["a", "b"]], 0),
    "unknown token": (tokenizers.models.WordLevel(VOCABULARY, unk_token="?"), ["a"], 2),
    "unigram": (tokenizers.models.Unigram([("a", -1.0), ("b", -2.0), ("?", -3.0)], unk_id=2), ["a"], 2),
    "mask": (tokenizers.models.BPE(VOCABULARY, []), ["a"], 3),
    "neither": (tokenizers.models.BPE({"a": 0, "b": 1}, []), ["a"], None),
    "ids": (Ids(), [[0, 1, 4]], None),
}


@pytest.mark.parametrize("kind", UNKNOWN_IDS)
def test_word_dropout_takes_the_unknown_id_of_the_encoder(kind):
    encoder, values, expected = UNKNOWN_IDS[kind]
    if not isinstance(encoder, Encoder):
        encoder = TokenizerFile(tokenizer=tokenizers.Tokenizer(encoder).to_str())
    rows = datasets.Dataset.from_dict({"x": values * 9, "y": ["u", "v", "u"] * (3 * len(values))})
    spec = SequenceDataModule(rows, inputs={"x": encoder}, targets="y").spec
    assert input_encoder(spec, "x").unknown_id == expected
    dropping = partial(Embedding, embedding_dim=2, word_dropout=0.5)
    alone = {"inputs": spec["inputs"], "targets": {}}
    tasks = (
        lambda embedding: Classifier(spec, encoder=partial(LSTM, hidden_size=2), embedding=embedding),
        lambda embedding: LanguageModel(alone, encoder=partial(LSTM, hidden_size=2), embedding=embedding),
    )
    for build in tasks:
        assert build(partial(Embedding, embedding_dim=2)).embeddings[0].unknown_id is None
        assert build(partial(dropping, unknown_id=1)).embeddings[0].unknown_id == 1
        if expected is not None:
            assert build(dropping).embeddings[0].unknown_id == expected
            continue
        message = rf"input 'x' has word_dropout=0.5, but {type(encoder).__name__} has no unknown token"
        with pytest.raises(ValueError, match=message):
            build(dropping)
