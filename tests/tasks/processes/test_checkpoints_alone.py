"""Test and predict by the command line from a checkpoint alone, in new processes."""

import json

import pytest
import yaml

from tests import processes

EMBEDDING = {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 8}}
ENCODER = {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 8}}
MODELS = {
    "multitask": (
        {
            "class_path": "seqkit.MultiTask",
            "init_args": {
                "embedding": EMBEDDING,
                "encoder": ENCODER,
                "heads": {
                    "tags": {"class_path": "seqkit.Tagger", "init_args": {"decoder": "seqkit.nn.CRF"}},
                    "value": {"class_path": "seqkit.Regressor", "init_args": {"pooling": "seqkit.nn.MeanPool"}},
                },
                "weights": {"value": 0.5},
                "main": "tags",
                "lr_scheduler": {"class_path": "seqkit.optim.WarmupCosine", "init_args": {"warmup": 2}},
            },
        },
        {"inputs": "words", "targets": ["tags", "value"]},
        ["tags", "value"],
    ),
    "forecaster": (
        {
            "class_path": "seqkit.Forecaster",
            "init_args": {
                "encoder": ENCODER,
                "horizon": 2,
                "lr_scheduler": {"class_path": "seqkit.optim.Plateau", "init_args": {"patience": 1}},
            },
        },
        {"inputs": "series"},
        ["series"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_alone_tests_and_predicts_in_a_new_process(name, splits, tmp_path):
    model, columns, predicted = MODELS[name]
    splits.save_to_disk(tmp_path / "rows")
    source = {"class_path": "seqkit.data.SavedDataset", "init_args": {"path": str(tmp_path / "rows")}}
    config = {
        "model": model,
        "data": {"source": source, "max_tokens": 64, **columns},
        "trainer": {"max_epochs": 2, "default_root_dir": "runs"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    def run(*words):
        quick = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        return processes.run("-m", "seqkit", *words, *quick, cwd=tmp_path).stdout

    run("fit", "--config", "config.yaml")
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    assert "worst rows" in run("test", f"--ckpt_path={checkpoint}")
    assert {file.name for file in tmp_path.rglob("test_*.png")} == {f"test_{column}.png" for column in predicted}
    run("predict", f"--ckpt_path={checkpoint}", "--predictions.path=out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(20))
    assert all(set(line) == {"row", *predicted} for line in lines)
