"""Training at the rate that find_lr suggests comes close to the best of a grid, on real data."""

import re
from pathlib import Path

import pytest

from seqkit.cli import main

CONFIGS = Path(__file__).parents[3] / "configs"
GRID = (2e-3, 4e-3, 8e-3, 1.6e-2)
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

# By config: the files, further options, and the steps of a fit.
CASES = {
    "japanese_vowels": (
        {"train": "japanese_vowels/JapaneseVowels_TRAIN.ts"},
        ["--data.validation_fraction=0.3"],
        150,
    ),
    "cmapss_rul": ({"train": "cmapss/train_FD001.txt.gz"}, [], 300),
    "wnut17_ner": ({"train": "wnut17/wnut17train.conll", "validation": "wnut17/emerging.dev.conll"}, [], 250),
    "ewt_upos": (
        {"train": "ud_ewt/en_ewt-ud-train.conllu.gz", "validation": "ud_ewt/en_ewt-ud-dev.conllu"},
        [],
        150,
    ),
    "shakespeare_char": (
        {"train": "tinyshakespeare/input.txt"},
        ["--data.source.init_args.validation=0.1", "--data.continuous={batch_size: 16, bptt: 50}"],
        150,
    ),
}


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_suggestion_is_close_to_the_best_of_a_grid(name, data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files, options, steps = CASES[name]
    sources = [f"--data.source.init_args.{split}={data_dir / path}" for split, path in files.items()]
    arguments = ["--config", str(CONFIGS / f"{name}.yaml"), *sources, *options, *QUIET]
    main(["find_lr", *arguments])
    rate = float(re.search(r"learning rate ([\d.e+-]+)", capsys.readouterr().out)[1])

    def dev_loss(lr):
        limits = [f"--trainer.max_steps={steps}", "--trainer.max_epochs=1000", "--trainer.limit_val_batches=20"]
        quiet = [
            "--trainer.logger=false",
            "--trainer.enable_checkpointing=false",
            "--trainer.num_sanity_val_steps=0",
        ]
        each = "--trainer.check_val_every_n_epoch=1000"
        chosen = f"--model.init_args.optimizer.init_args.lr={lr}"
        cli = main(["fit", *arguments, *limits, *quiet, each, chosen])
        return cli.trainer.validate(cli.model, cli.datamodule, verbose=False)[0]["val_loss"]

    losses = {lr: dev_loss(lr) for lr in GRID}
    assert dev_loss(rate) < 1.1 * min(losses.values()), losses
