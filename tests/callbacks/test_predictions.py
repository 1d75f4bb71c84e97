import errno
import json
from functools import partial
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch

from seqkit import MultiTask, Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import PredictionWriter
from seqkit.data import CoNLL, Files
from seqkit.nn import LSTM, Embedding


def predict(task, target, splits, trainer, path):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    torch.manual_seed(2)  # predicts both tags
    model = task(data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4))
    trainer(callbacks=[PredictionWriter(str(path))]).predict(model, data)
    rows, model = data.rows("test"), model.eval()
    with torch.no_grad():  # each row alone
        return [model.predict_step(rows[[row]], 0).columns[target][0] for row in range(len(rows))]


def test_json_lines_with_label_names_in_the_order_of_the_dataset(splits, trainer, tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    expected = predict(Tagger, "tags", splits, trainer, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"row": row, "tags": tags} for row, tags in enumerate(expected)]
    assert {tag for tags in expected for tag in tags} == {"even", "odd"}
    assert [file.name for file in path.parent.iterdir()] == ["out.jsonl"]


def test_parquet(splits, trainer, tmp_path, caplog):
    path = tmp_path / "out.parquet"
    with caplog.at_level("INFO"):
        expected = predict(Regressor, "value", splits, trainer, path)
    assert f"predictions of 20 rows: {path}" in caplog.messages
    table = pq.read_table(path)
    assert table["row"].to_pylist() == list(range(20))
    assert table["value"].to_pylist() == pytest.approx(expected)
    assert len(set(expected)) > 10


def test_an_earlier_file_is_kept_until_the_new_one_is_complete(splits, trainer, tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier\n")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("seqkit.files.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        predict(Tagger, "tags", splits, trainer, path)
    assert path.read_text() == "earlier\n"
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("failing", ["callbacks.predictions._json_lines", "tasks.Tagger.predict_step"])
def test_a_run_that_fails_leaves_no_part(failing, splits, trainer, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"seqkit.{failing}", full)
    with pytest.raises(OSError, match="No space left on device"):
        predict(Tagger, "tags", splits, trainer, tmp_path / "new" / "folder" / "out.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_scores_are_those_of_predict(suffix, splits, trainer, tmp_path):
    path = tmp_path / f"out.{suffix}"
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    model = Tagger(data.spec, **parts)
    trainer(callbacks=[PredictionWriter(str(path), scores=True)]).predict(model, data)
    written = (
        pq.read_table(path).to_pylist()
        if suffix == "parquet"
        else [json.loads(line) for line in path.read_text().splitlines()]
    )
    for row, line, expected in zip(range(20), written, model.predict(splits["test"], scores=True), strict=True):
        assert line["row"] == row
        assert line["tags"] == expected["tags"]
        assert line["tags_scores"] == pytest.approx(expected["tags_scores"], abs=1e-6)
    assert "predict_step" not in vars(model)  # the next prediction has no scores


def test_a_model_without_scores(splits, trainer, tmp_path):
    class Own(Tagger):
        def predict_step(self, batch, batch_idx):
            return super().predict_step(batch, batch_idx)

    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    writer = PredictionWriter(str(tmp_path / "new" / "out.jsonl"), scores=True)
    with pytest.raises(ValueError, match="predict_step of Own has no argument `scores`; give it one, or leave"):
        trainer(callbacks=[writer]).predict(Own(data.spec, **parts), data)
    assert not list(tmp_path.iterdir())


def test_two_runs_to_one_file_do_not_mix(splits, trainer, tmp_path):
    path = tmp_path / "out.jsonl"
    writers = [PredictionWriter(str(path)) for _ in range(2)]
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    model, run = Tagger(data.spec, **parts), trainer()
    run.predict(model, data, return_predictions=False)
    for writer in writers:
        writer.on_predict_start(run, model)
    for step in range(4):  # both are in the middle of their rows
        writers[0].on_predict_batch_end(run, model, ([step], {"tags": [["first"]]}), None, 0)
        writers[1].on_predict_batch_end(run, model, ([3 - step], {"tags": [["second"]]}), None, 0)
    for writer, name in zip(writers, ("first", "second"), strict=True):
        writer.on_predict_end(run, model)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert lines == [{"row": row, "tags": [name]} for row in range(4)]
    assert [file.name for file in tmp_path.iterdir()] == ["out.jsonl"]


def test_links_in_the_place_of_earlier_parts_are_not_followed(splits, trainer, tmp_path):
    (tmp_path / "victim").write_text("kept")
    for name in ("out.jsonl", "out.jsonl.part0"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    predict(Tagger, "tags", splits, trainer, tmp_path / "out.jsonl")
    assert (tmp_path / "victim").read_text() == "kept"
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 20


def test_a_file_of_the_source_is_not_overwritten(splits, trainer, tmp_path, monkeypatch):
    rows = tmp_path / "rows.jsonl"
    splits["train"].to_json(rows)
    before = rows.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(rows)
    monkeypatch.chdir(tmp_path)
    data = SequenceDataModule(Files(*[str(rows)] * 3), inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    model = Tagger(data.spec, **parts)
    for path in (rows, "rows.jsonl", "link.jsonl"):
        with pytest.raises(ValueError, match=r"would be overwritten, but .*rows.jsonl is read; give another path"):
            trainer(callbacks=[PredictionWriter(str(path))]).predict(model, data)
    assert rows.read_bytes() == before


def test_unknown_suffix():
    with pytest.raises(
        ValueError, match=r"path='out.txt'; let it end in .jsonl, .json or .parquet, or.* in .conll or .conllu"
    ):
        PredictionWriter("out.txt")


CONLLU = """\ufeff# sent_id = 1\r
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\r
1\tde\tde\tADP\t_\t_\t0\troot\t_\tA=B|C\r
2\tle\tle\tDET\t_\t_\t1\tdet\t_\t_\r
\r
1\tIl\til\tDET\t_\t_\t0\troot\t_\t_
1.1\tx\t_\t_\t_\t_\t_\t_\t_\t_

# the end"""
PLAIN = "-DOCSTART- O\n\n# x\nAnn  B-P\n sat O \n\n\nNew York\tB-L\nthen\tO\n!\tO"


@pytest.mark.parametrize(("name", "text"), [("data.conllu", CONLLU), ("data.conll", PLAIN)], ids=["u", "plain"])
def test_a_conll_file_is_copied_with_the_predicted_column(name, text, trainer, tmp_path):
    (tmp_path / name).write_bytes(text.encode())
    plain = {} if name == "data.conllu" else {"columns": ["form", "upos"], "comment": "# "}
    source = CoNLL(*[str(tmp_path / name)] * 3, **plain)
    data = SequenceDataModule(source, inputs="form", targets="upos", max_tokens=4)
    model = Tagger(
        data.spec,
        encoder=partial(LSTM, hidden_size=4),
        embedding=partial(Embedding, embedding_dim=4),
        scheme="none",
    )
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.arange(len(model.labels.names)))  # every token gets the last name
    best = model.labels.names[-1]
    out = tmp_path / "out.conllu"
    trainer(callbacks=[PredictionWriter(str(out))]).predict(model, data)
    if name == "data.conllu":
        assert best in ("ADP", "DET")
        expected = text.replace("\tADP\t", f"\t{best}\t").replace("\tDET\t", f"\t{best}\t")
    else:
        expected = (
            f"-DOCSTART- O\n\n# x\nAnn  B-P {best}\n sat O {best}\n\n\nNew York\tB-L\t{best}\n"
            f"then\tO\t{best}\n!\tO\t{best}"
        )
    assert out.read_bytes() == expected.encode()


@pytest.mark.parametrize("name", ["data.conllu", "data.conll"])
def test_a_conll_file_gets_a_column_for_each_target(name, trainer, tmp_path):
    text = "1\tde\tde\tADP\tx\t_\t0\troot\t_\t_\n2\tle\tle\tDET\ty\t_\t1\tdet\t_\t_\n\n"
    columns = ["form", "upos", "xpos"]
    if name == "data.conll":
        text = "de ADP x\nle DET y\n\n"
    (tmp_path / name).write_text(text)
    source = CoNLL(*[str(tmp_path / name)] * 3, **({"columns": columns} if name == "data.conll" else {}))
    data = SequenceDataModule(source, inputs="form", targets=["xpos", "upos"], max_tokens=4)
    model = MultiTask(
        data.spec, encoder=partial(LSTM, hidden_size=4), embedding=partial(Embedding, embedding_dim=4)
    )
    with torch.no_grad():
        for head in model.heads.values():
            head.head.weight.zero_()
            head.head.bias.copy_(torch.arange(2.0))  # every token gets the last name
    out = tmp_path / "out.conll"
    trainer(callbacks=[PredictionWriter(str(out))]).predict(model, data)
    expected = text.replace("ADP", "DET").replace("\tx\t", "\ty\t")
    if name == "data.conll":
        expected = "de ADP x y DET\nle DET y y DET\n\n"
    assert out.read_text() == expected
    if name == "data.conllu":
        with pytest.raises(
            ValueError, match=r"predictions of \['tag'\], but .*data.conllu has the columns id form"
        ):
            source.write(out, "test", ["tag"], {})


def test_conll_has_one_label_for_each_token(splits, trainer, tmp_path):
    rows = "".join(f"w{i} t{i % 2}\n\n" for i in range(9))
    (tmp_path / "data.conll").write_text(rows)
    source = CoNLL(*[str(tmp_path / "data.conll")] * 3, columns=["form", "tag"])
    spec = SequenceDataModule(splits, inputs="words", targets=["tags", "flags"], max_tokens=4).spec
    data = SequenceDataModule(source, inputs="form", targets="tag", max_tokens=4)
    data.spec["targets"]["flags"] = spec["targets"]["flags"]
    writer = PredictionWriter(str(tmp_path / "out.conll"))
    run = SimpleNamespace(datamodule=data)
    with pytest.raises(
        ValueError, match=r"target 'flags' is a multilabel per token, and a CoNLL file has one label"
    ):
        writer.on_predict_start(run, None)
    data.spec["targets"].clear()
    with pytest.raises(ValueError, match=r"out.conll', but the data has no target, and a CoNLL file has one label"):
        writer.on_predict_start(run, None)


def test_conll_needs_a_conll_file(splits, trainer, tmp_path):
    with pytest.raises(
        ValueError, match=r"out.conll', but the data's source is DatasetDict, not CoNLL; let it end in"
    ):
        predict(Tagger, "tags", splits, trainer, tmp_path / "out.conll")


def test_a_conll_file_that_changed_after_it_was_read(tmp_path):
    path = tmp_path / "data.conll"
    path.write_text("a X\nb Y\n\nc X\n")
    source = CoNLL(test=str(path), columns=["form", "tag"])
    out = tmp_path / "out.conll"
    source.write(out, "test", "tag", {1: ["Z"]})
    assert out.read_text() == "a X _\nb Y _\n\nc X Z\n"
    with pytest.raises(
        ValueError, match=r"data.conll:2: sentence 0 has 2 tokens or more but 1 predictions; use the file that"
    ):
        source.write(out, "test", "tag", {0: ["Z"]})
    with pytest.raises(ValueError, match=r"data.conll:4: sentence 1 has 1 tokens but 2 predictions"):
        source.write(out, "test", "tag", {1: ["Z", "Z"]})
