import json
from functools import partial

import pyarrow.parquet as pq
import pytest

from seqkit import Regressor, SequenceDataModule, Tagger
from seqkit.callbacks import PredictionWriter
from seqkit.nn import LSTM, Embedding


def predict(task, target, splits, trainer, path):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    model = task(data.spec, partial(LSTM, hidden_size=4), partial(Embedding, embedding_dim=4))
    trainer(callbacks=[PredictionWriter(str(path))]).predict(model, data)


def test_json_lines_in_the_datasets_order_with_names(splits, trainer, tmp_path):
    path = tmp_path / "new" / "out.jsonl"
    predict(Tagger, "tags", splits, trainer, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(20))
    for line, words in zip(lines, splits["test"]["words"], strict=True):
        assert len(line["tags"]) == len(words)
        assert set(line["tags"]) <= {"even", "odd"}
    assert [file.name for file in path.parent.iterdir()] == ["out.jsonl"]


def test_parquet(splits, trainer, tmp_path):
    path = tmp_path / "out.parquet"
    predict(Regressor, "value", splits, trainer, path)
    table = pq.read_table(path)
    assert table["row"].to_pylist() == list(range(20))
    assert all(isinstance(value, float) for value in table["value"].to_pylist())


def test_an_earlier_file_stays_whole_until_the_new_one_is(splits, trainer, tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier\n")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("seqkit.callbacks.predictions.os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        predict(Tagger, "tags", splits, trainer, path)
    assert path.read_text() == "earlier\n"


def test_unknown_ending():
    with pytest.raises(ValueError, match=r"path='out.txt'; let it end in .jsonl, .json or .parquet"):
        PredictionWriter("out.txt")
