import json
from functools import partial

import pytest
from lightning.pytorch import Trainer

from seqkit import SequenceDataModule, Tagger
from seqkit.data import CoNLL
from seqkit.nn import LSTM, Embedding

WORDS = {"the": "DET", "cat": "NOUN", "sat": "VERB", "here": "ADV"}
NAMES = ["seqkit", "ONNX float32", "ONNX int8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a test split and the checkpoint of a tagger."""
    folder = tmp_path_factory.mktemp("ewt")
    lines = []
    for i in range(30):
        chosen = [list(WORDS)[(i * j + j) % len(WORDS)] for j in range(1 + i % 5)]
        lines += ["\t".join([str(j), word, "_", WORDS[word], *["_"] * 6]) for j, word in enumerate(chosen, 1)]
        lines.append("")
    file = folder / "en_ewt-ud-test.conllu"
    file.write_text("\n".join(lines) + "\n")
    data = SequenceDataModule(CoNLL(train=str(file)), inputs="form", targets="upos", max_tokens=64)
    encoder = partial(LSTM, hidden_size=16, bidirectional=True)
    model = Tagger(data.spec, embedding=partial(Embedding, embedding_dim=16), encoder=encoder)
    trainer = Trainer(max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(model, data)
    trainer.save_checkpoint(folder / "best.ckpt")
    return folder


def test_all_contenders_are_compared(load, folder, capsys):
    benchmark = load("benchmarks/onnx_inference")
    report = benchmark.main(
        [
            *(str(folder), "--ckpt_path", str(folder / "best.ckpt"), "--rounds", "1", "--single", "3"),
            *("--output", str(folder / "result.json")),
        ]
    )
    assert json.loads((folder / "result.json").read_text()) == report
    for key in ("accuracy", "labels of seqkit", "MB", "tokens/s", "ms a row"):
        assert list(report[key]) == NAMES
        assert all(value > 0 for value in report[key].values())
    assert report["labels of seqkit"]["ONNX float32"] == 1
    assert report["MB"]["ONNX int8"] < report["MB"]["ONNX float32"]
    assert capsys.readouterr().out.count("tokens/s") == 3
