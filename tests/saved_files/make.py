"""Make the files that later versions must still load: a config, a spec, a checkpoint with its test scores, and a
shared model.

    python -m tests.saved_files.make

The files are committed. Make them again only if a checkpoint, a spec or a config is meant to change its form: old
files then no longer load, which the changelog must say.
"""

import contextlib
import json
import tempfile
from pathlib import Path

import datasets
import yaml

from seqkit import Tagger
from seqkit.cli import main
from seqkit.data import (
    Characters,
    Features,
    Ids,
    Labels,
    LabelSequences,
    MultiLabels,
    ShapedWords,
    Values,
    WordCharacters,
    Words,
    WordShapes,
    learn_spec,
)

FOLDER = Path(__file__).parent
SENTENCES = [
    ["Ann", "B-PER", "saw", "O", "New", "B-LOC", "York", "I-LOC"],
    ["Bob", "B-PER", "slept", "O"],
    ["In", "O", "Rome", "B-LOC", "Ann", "B-PER", "sang", "O"],
] * 4
CONFIG = {
    "model": {
        "class_path": "seqkit.Tagger",
        "init_args": {
            "embedding": {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 2}},
            "embeddings": {
                "letters": {
                    "class_path": "seqkit.nn.CharacterLSTM",
                    "init_args": {"embedding_dim": 2, "hidden_size": 1},
                }
            },
            "encoder": {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 2, "bidirectional": True}},
            "decoder": {"class_path": "seqkit.nn.CRF"},
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}},
            "lr_scheduler": {"class_path": "seqkit.optim.WarmupCosine", "init_args": {"warmup": 0.3}},
        },
    },
    "data": {
        "source": {
            "class_path": "seqkit.data.Files",
            "init_args": dict.fromkeys(("train", "validation", "test"), "rows.jsonl"),
        },
        "inputs": {
            "words": {"class_path": "seqkit.data.Words"},
            "letters": {"class_path": "seqkit.data.WordCharacters", "init_args": {"column": "words"}},
        },
        "targets": {"tags": {"class_path": "seqkit.data.Labels"}},
        "max_tokens": 16,
        "cost": {"class_path": "seqkit.data.StepCost"},
    },
    "trainer": {
        "max_epochs": 1,
        "callbacks": [{"class_path": "seqkit.callbacks.EarlyStop", "init_args": {"patience": 3}}],
    },
}


def make_rows():
    """Write sentences and their tags."""
    rows = [{"words": sentence[::2], "tags": sentence[1::2]} for sentence in SENTENCES]
    (FOLDER / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_checkpoint_and_config():
    """Fit; keep the checkpoint, its test scores and the parts of the saved config that belong to seqkit."""
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(FOLDER):
        (Path(temporary) / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
        main(["fit", "--config", f"{temporary}/config.yaml", "--trainer.default_root_dir", temporary, *quiet])
        run = Path(temporary) / "version_0"
        (run / "checkpoints" / "last.ckpt").replace("tagger.ckpt")
        tested = main(["test", "--ckpt_path=tagger.ckpt", "--trainer.logger=false", *quiet])
        saved = yaml.safe_load((run / "config.yaml").read_text())
    scores = {name: float(value) for name, value in tested.trainer.callback_metrics.items()}
    (FOLDER / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    kept = {key: saved[key] for key in ("model", "data", "predictions")}
    kept["trainer"] = {key: saved["trainer"][key] for key in ("max_epochs", "callbacks")}
    (FOLDER / "config.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))


def make_shared():
    """Share the model of the checkpoint, without a card."""
    folder = FOLDER / "shared"
    Tagger.load_from_checkpoint(FOLDER / "tagger.ckpt").save_pretrained(folder)
    (folder / "README.md").unlink()


def make_spec():
    """Write a spec with every encoder."""
    columns = {
        "words": [["Ann", "saw"], ["Rome"]],
        "text": ["ab", "b"],
        "ids": [[1, 2], [0]],
        "series": [[[0.5, 1.0], [1.5, 3.0]], [[2.5, 2.0]]],
        "tags": [["B-PER", "O"], ["B-LOC"]],
        "topics": [["art", "travel"], []],
        "value": [0.5, 2.5],
        "phones": [["AH", "B"], ["B"]],
    }
    inputs = {
        "words": Words(),
        "shaped": ShapedWords(column="words"),
        "letters": WordCharacters(column="words"),
        "shapes": WordShapes(column="words"),
        "ids": Ids(),
        "series": Features(),
        "text": Characters(),
    }
    targets = {"tags": Labels(), "topics": MultiLabels(), "value": Values(), "phones": LabelSequences()}
    spec = learn_spec(datasets.Dataset.from_dict(columns), inputs, targets, unaligned=["text"])
    (FOLDER / "spec.json").write_text(json.dumps(spec, indent=1) + "\n")


if __name__ == "__main__":
    make_rows()
    make_checkpoint_and_config()
    make_shared()
    make_spec()
