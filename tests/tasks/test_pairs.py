"""Pairs: two sequences per row with different lengths, one embedding and one encoder."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from torch import nn

from seqkit import Classifier, MultiTask, Regressor, SequenceDataModule, Tagger
from seqkit.data import Words
from seqkit.nn import LSTM, AttentionPool, Embedding, MaxPool

EMBEDDING = partial(Embedding, embedding_dim=8)
ENCODER = partial(LSTM, hidden_size=8, bidirectional=True)


@pytest.fixture(scope="module")
def pairs():
    """Two sentences; label and distance depend on their first words."""
    random = np.random.default_rng(0)

    def rows(count):
        made = {"one": [], "other": [], "same": [], "distance": []}
        for _ in range(count):
            one, other = (random.integers(0, 6, random.integers(1, 9)) for _ in range(2))
            if random.random() < 0.4:
                other[0] = one[0]
            made["one"].append([f"w{i}" for i in one])
            made["other"].append([f"w{i}" for i in other])
            made["same"].append("yes" if one[0] == other[0] else "no")
            made["distance"].append(float(abs(one[0] - other[0])))
        return datasets.Dataset.from_dict(made)

    return datasets.DatasetDict(train=rows(80), validation=rows(20), test=rows(20))


def build(pairs, task=Classifier, targets="same", **options):
    data = SequenceDataModule(
        pairs, inputs=["one", "other"], targets=targets, unaligned="other", max_tokens=40, predict_split="test"
    )
    torch.manual_seed(0)
    return task(data.spec, encoder=ENCODER, embedding=EMBEDDING, **options), data


def test_both_columns_share_the_vocabulary():
    rows = datasets.Dataset.from_dict(
        {"one": [["a", "b"]] * 4, "other": [["c"], ["b", "b", "d"]] * 2, "y": [0, 1] * 2}
    )
    data = SequenceDataModule(rows, inputs=["one", "other"], targets="y", unaligned="other", max_tokens=9)
    entries = data.spec["inputs"]
    assert entries["one"]["init_args"] == entries["other"]["init_args"]
    assert entries["other"]["unaligned"] is True
    own = {"one": Words(), "other": Words(lowercase=True)}
    apart = SequenceDataModule(rows, inputs=own, targets="y", unaligned="other", max_tokens=9).spec["inputs"]
    assert apart["one"]["size"] < entries["one"]["size"]
    with pytest.raises(
        ValueError, match=r"inputs \['one'\] and unaligned \['other'\] make no pair: .* the same enco"
    ):
        Classifier(
            SequenceDataModule(rows, own, "y", max_tokens=9, unaligned="other").spec,
            encoder=ENCODER,
            embedding=EMBEDDING,
        )


def test_a_pair_equals_its_sequences_alone_in_stock_torch(pairs):
    model, data = build(pairs, pooling=MaxPool)
    model = model.double().eval()
    rows = data.rows("train")
    batch = rows[[3, 1, 4, 15, 9, 2]]
    stock = nn.LSTM(8, 8, bidirectional=True).double()
    stock.load_state_dict(model.encoder.state_dict())
    for row, mine in zip(batch.rows.tolist(), model(batch.inputs), strict=True):
        alone = rows[[row]].inputs
        vectors = []
        for column in ("one", "other"):
            assert len(alone[column].data) == len(pairs["train"][row][column])
            vectors.append(stock(model.embeddings[0].weight[alone[column].data])[0].amax(0))
        u, v = vectors
        torch.testing.assert_close(mine, model.head(torch.cat([u, v, (u - v).abs(), u * v])))


@pytest.mark.parametrize(
    ("task", "targets"), [(Classifier, "same"), (Regressor, "distance"), (MultiTask, ["same", "distance"])]
)
def test_fits_tests_and_predicts(task, targets, pairs, trainer):
    model, data = build(pairs, task, targets)
    batch = data.rows("train")[list(range(16))]
    total = (
        model.step(batch, "val")
        if task is MultiTask
        else model.compute_loss(model(batch.inputs), batch.targets[targets])[0]
    )
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    run = trainer(max_epochs=1)
    run.fit(model, data)
    (scores,) = run.test(model, data, verbose=False)
    assert all(np.isfinite(list(scores.values())))
    assert sorted(row for rows, _ in run.predict(model, data) for row in rows) == list(range(20))


def test_overfits_eight_rows(pairs, trainer):
    few = pairs["train"].select(range(8))
    model, data = build({"train": few, "validation": few}, optimizer=partial(torch.optim.Adam, lr=0.05))
    trainer(max_epochs=60, limit_val_batches=0).fit(model, data)
    (scores,) = trainer().validate(model, data, verbose=False)
    assert scores["val_accuracy"] == 1.0


def test_a_budget_holds_for_both_sequences(pairs):
    _, data = build(pairs)
    rows = data.rows("train")
    for batch in data.sampler(rows, training=True):
        inputs = rows[batch].inputs
        assert max(len(inputs["one"].data), len(inputs["other"].data)) <= 40


def test_predictions_contain_the_attention_of_both(pairs, trainer):
    model, data = build(pairs, pooling=partial(AttentionPool, hidden_size=4), attention=True)
    for rows, columns in trainer().predict(model, data):
        assert set(columns) == {"same", "one_attention", "other_attention"}
        for i, row in enumerate(rows):
            for column in ("one", "other"):
                weights = columns[f"{column}_attention"][i]
                assert len(weights) == len(pairs["test"][row][column])
                assert sum(weights) == pytest.approx(1, abs=1e-5)


def test_attention_needs_a_pooling_with_weights(pairs):
    with pytest.raises(ValueError, match="attention=True, but pooling MaxPool gives tokens no weights; use seqkit"):
        build(pairs, pooling=MaxPool, attention=True)


def test_empty_rows_are_named(pairs):
    rows = datasets.Dataset.from_dict(
        {"one": [["a"], ["a"], ["b", "a"]], "other": [["b"], [], ["a"]], "same": ["x", "y", "x"]}
    )
    _, data = build({"train": rows, "validation": rows})
    message = r"train row 1 \(column 'other'\): an empty sequence, which cannot be packed"
    with pytest.raises(ValueError, match=message):
        data.rows("train")[[0, 1, 2]]
    with pytest.raises(ValueError, match="row 1"):
        data.train_dataloader()
    data.empty = "drop"
    assert sorted(row for batch in data.sampler(data.rows("train")) for row in batch) == [0, 2]


def test_inputs_that_make_no_pair(pairs, splits):
    data = SequenceDataModule(pairs, inputs=["one", "other"], targets="same", unaligned="x", max_tokens=9)
    with pytest.raises(
        ValueError, match=r"unaligned contains 'x'; it may contain the inputs after the main one: \['other'\]"
    ):
        _ = data.spec
    _, data = build(pairs)
    data.overlong = "truncate"
    with pytest.raises(ValueError, match="would cut the inputs but not the unaligned sequences in 'other'; set it"):
        data.rows("train")
    data = SequenceDataModule(splits, inputs=["words", "tags"], targets="flags", unaligned="tags", max_tokens=64)
    with pytest.raises(
        ValueError, match=r"target 'flags' is per token, but inputs \['words'\] and \['tags'\] are a"
    ):
        Tagger(data.spec, encoder=ENCODER, embedding=EMBEDDING)


@pytest.mark.slow
def test_a_checkpoint_alone_predicts_in_a_new_process(pairs, tmp_path):
    pairs.save_to_disk(tmp_path / "rows")
    run = [sys.executable, "-m", "seqkit"]
    quick = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
    options = [
        "--model=Classifier",
        "--model.encoder=seqkit.nn.LSTM",
        "--model.encoder.hidden_size=8",
        "--model.embedding=seqkit.nn.Embedding",
        "--model.embedding.embedding_dim=8",
        "--model.pooling=seqkit.nn.AttentionPool",
        "--model.attention=true",
        "--data.source=seqkit.data.SavedDataset",
        f"--data.source.path={tmp_path / 'rows'}",
        "--data.inputs=[one,other]",
        "--data.targets=same",
        "--data.unaligned=other",
        "--data.max_tokens=40",
        "--trainer.max_epochs=1",
    ]
    subprocess.run([*run, "fit", *quick, *options], check=True, cwd=tmp_path)
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    subprocess.run([*run, "test", f"--ckpt_path={checkpoint}", *quick], check=True, cwd=tmp_path)
    subprocess.run(
        [*run, "predict", f"--ckpt_path={checkpoint}", *quick, "--predictions.path=out.jsonl"],
        check=True,
        cwd=tmp_path,
    )
    lines = [json.loads(line) for line in Path(tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(line["other_attention"]) for line in lines] == [len(words) for words in pairs["test"]["other"]]
