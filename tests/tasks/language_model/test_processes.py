"""Language models in other processes: from a checkpoint alone, and on two ranks."""

import json
import math
import random
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
import yaml

from seqkit import LanguageModel, SequenceDataModule
from seqkit.cli import main
from seqkit.data import Continuous
from seqkit.nn import GRU, Embedding
from tests import processes

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# Calls of Lightning that the pinned jsonargparse deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)

CONFIG = """
model:
  class_path: seqkit.LanguageModel
  init_args:
    embedding: {class_path: seqkit.nn.Embedding, init_args: {embedding_dim: 8}}
    encoder: {class_path: seqkit.nn.GRU, init_args: {hidden_size: 12}}
    softmax: {class_path: seqkit.nn.AdaptiveSoftmax, init_args: {cutoffs: [5], div_value: 2.0}}
    optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.02}}
data:
  source: {class_path: seqkit.data.Text, init_args: {train: text.txt, validation: 0.2, test: 0.2}}
  inputs: text
  continuous: {batch_size: 4, bptt: 10, evaluation_batch_size: 2}
trainer: {max_epochs: 4, default_root_dir: runs}
"""


@pytest.fixture(scope="module")
def lines():
    draw = random.Random(0)
    return ["".join(draw.choice("abcdefg ") for _ in range(draw.randint(1, 12))) for _ in range(60)]


def test_a_checkpoint_alone_tests_and_predicts(lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("\n".join(lines) + "\n")
    Path("config.yaml").write_text(CONFIG)
    cli = main(["fit", "--config", "config.yaml", *QUICK])
    assert cli.trainer.callback_metrics["val_perplexity"] < 9.5  # of 10 classes
    checkpoint = cli.trainer.checkpoint_callback.last_model_path
    saved = torch.load(checkpoint, weights_only=True)
    assert yaml.safe_load(yaml.safe_dump(saved["seqkit_data"]))["continuous"]["batch_size"] == 4
    (expected,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    tested = processes.run("-m", "seqkit", "test", f"--ckpt_path={checkpoint}", *QUICK)
    assert f"{expected['test_loss']:.4f}" in tested.stdout
    Path("other.txt").write_text("abc\nnew ones: Ω\n")
    other = ["--data.source.init_args.test=other.txt", "--predictions.path=out.jsonl"]
    processes.run("-m", "seqkit", "predict", f"--ckpt_path={checkpoint}", *QUICK, *other)
    written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [len(line["nll"]) for line in written] == [3, 11]
    assert all(math.isfinite(line["perplexity"]) for line in written)


_SCRIPT = """
import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything

sys.path.insert(0, sys.argv[2])
from test_processes import made

folder = Path(sys.argv[1])
for kind in ("sentences", "continuous"):
    seed_everything(0, verbose=False)
    model, data = made(kind, folder / "rows")
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, precision="64-true", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(model, data)
    scores = trainer.test(model, data, verbose=False)[0]
    if trainer.is_global_zero:
        torch.save(model.state_dict(), folder / f"{kind}.pt")
        (folder / f"{kind}.json").write_text(json.dumps({"steps": trainer.global_step, **scores}))
"""


def made(kind, folder):
    """Build a model and its data, equal in every process; row by row, one step has all rows."""
    options = {"max_tokens": 10_000} if kind == "sentences" else {"continuous": Continuous(batch_size=4, bptt=20)}
    data = SequenceDataModule(datasets.load_from_disk(folder), inputs="text", test_fraction=0.2, **options)
    optimizer = partial(torch.optim.SGD, lr=0.5)
    parts = {"encoder": partial(GRU, hidden_size=6), "embedding": partial(Embedding, embedding_dim=6)}
    return LanguageModel(data.spec, **parts, tied=True, optimizer=optimizer), data


def test_two_ranks_train_and_score_as_one(lines, tmp_path, trainer, loopback):
    datasets.Dataset.from_dict({"text": lines}).save_to_disk(tmp_path / "rows")
    (tmp_path / "run.py").write_text(_SCRIPT)
    processes.run("run.py", tmp_path, Path(__file__).parent, ranks=2, cwd=tmp_path)
    for kind in ("sentences", "continuous"):
        torch.manual_seed(0)
        model, data = made(kind, tmp_path / "rows")
        run = trainer(max_epochs=1, precision="64-true")
        run.fit(model, data)
        (scores,) = run.test(model, data, verbose=False)
        theirs = json.loads((tmp_path / f"{kind}.json").read_text())
        assert theirs == pytest.approx({"steps": run.global_step, **scores}, rel=1e-6)
        for name, weight in torch.load(tmp_path / f"{kind}.pt", weights_only=True).items():
            torch.testing.assert_close(weight, model.state_dict()[name], rtol=1e-9, atol=1e-12, msg=name)
