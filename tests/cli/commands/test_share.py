import shutil
from pathlib import Path

import pytest
import torch

from seqkit import Tagger
from seqkit.cli import main
from seqkit.cli.commands.share import described

pytestmark = [
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
CHECKPOINT = "runs/version_0/checkpoints/best.ckpt"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A working directory with the checkpoint of a run and its rows."""
    saved = Path(__file__).parents[2] / "saved_files"
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(saved / "rows.jsonl", "rows.jsonl")
    Path(CHECKPOINT).parent.mkdir(parents=True)
    shutil.copyfile(saved / "tagger.ckpt", CHECKPOINT)
    return tmp_path


def card():
    return Path("shared", "README.md").read_text()


def test_a_checkpoint_becomes_a_folder(run, capsys):
    model = main(["share", "--ckpt_path", CHECKPOINT, "--folder", "shared", "--license", "mit", "--language", "en"])
    assert capsys.readouterr().out == "model: shared\n"
    loaded = Tagger.from_pretrained("shared")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert "license: mit" in card()
    assert "| data | Files: rows.jsonl |" in card()
    assert "No test scores" in card()
    main(["share", f"--ckpt_path={CHECKPOINT}", "--folder=other", "--data_name", "Mine"])
    assert "| data | Mine |" in Path("other", "README.md").read_text()


def test_the_scores_are_those_of_the_last_complete_test(run):
    main(["test", f"--ckpt_path={CHECKPOINT}", "--trainer.limit_test_batches=1", *QUIET])
    shutil.copyfile("rows.jsonl", "others.jsonl")
    main(["test", f"--ckpt_path={CHECKPOINT}", "--data.source.init_args.test=others.jsonl", *QUIET])
    main(["share", f"--ckpt_path={CHECKPOINT}", "--folder=shared"])
    assert "No test scores" in card()
    scores = main(["test", f"--ckpt_path={CHECKPOINT}", *QUIET]).trainer.callback_metrics
    Path("shared", "README.md").unlink()
    main(["share", f"--ckpt_path={CHECKPOINT}", "--folder=shared"])
    assert f"| accuracy | {float(scores['test_accuracy']):.4f} |" in card()
    shutil.copyfile(CHECKPOINT, Path(CHECKPOINT).with_name("last.ckpt"))
    Path("shared", "README.md").unlink()
    main(["share", f"--ckpt_path={Path(CHECKPOINT).with_name('last.ckpt')}", "--folder=shared"])
    assert "No test scores" in card()  # another checkpoint of the run


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([f"--ckpt_path={CHECKPOINT}"], "share writes nowhere; give a folder by --folder DIR, or an id"),
        (["--ckpt_path=gone.ckpt", "--folder=x"], "--ckpt_path=gone.ckpt does not exist"),
        ([f"--ckpt_path={CHECKPOINT}", "--foldr=x"], "share has no option --foldr; did you mean --folder"),
        ([f"--ckpt_path={CHECKPOINT}", "--push=a/b/c"], "a/b/c"),
    ],
)
def test_wrong_arguments(options, message, run):
    with pytest.raises(ValueError, match=message):
        main(["share", *options])
    assert sorted(path.name for path in run.iterdir()) == ["rows.jsonl", "runs"]


def test_the_source_is_described_without_its_folders():
    part = {
        "class_path": "seqkit.data.CoNLL",
        "init_args": {"train": "/home/me/train.conllu", "test": None, "n": 3},
    }
    assert described(part) == "CoNLL: train.conllu"
    part["init_args"] |= {"columns": ["tokens", "tags"], "extra": "drop", "validation": "data/dev.conllu"}
    assert described(part) == "CoNLL: train.conllu, dev.conllu"
    assert described({"class_path": "seqkit.data.Hub", "init_args": {"name": "owner/name"}}) == "Hub: owner/name"
    assert described({"class_path": "my.Own"}) == "Own"
    assert described(None) is None
