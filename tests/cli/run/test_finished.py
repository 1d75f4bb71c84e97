"""tests/saved_files/tagger.ckpt is of a fit of one epoch with three steps."""

from pathlib import Path

import pytest

from seqkit.cli import main
from tests.cli.cases import one_parser

__all__ = ["one_parser"]

CHECKPOINT = Path(__file__).parents[2] / "saved_files" / "tagger.ckpt"
OPTIONS = [f"--ckpt_path={CHECKPOINT}", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]

pytestmark = [
    pytest.mark.usefixtures("one_parser"),
    # Calls of Lightning that the pinned jsonargparse deprecates.
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
]


@pytest.mark.parametrize(("option", "done"), [("max_epochs=1", "1 epochs"), ("max_steps=3", "3 steps")])
def test_a_finished_fit_is_refused(option, done, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = option.partition("=")[0]
    with pytest.raises(
        ValueError, match=rf"is finished: it has trained {done}; .* raise --trainer\.{name}, which is"
    ):
        main(["fit", *OPTIONS, f"--trainer.{option}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set")
def test_a_checkpoint_alone_has_no_options_of_the_trainer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.warns(UserWarning, match=r"--trainer\.max_epochs is not set; .* add --config CONFIG"),
        pytest.raises(FileNotFoundError, match=r"rows\.jsonl"),
    ):
        main(["fit", *OPTIONS, "--trainer.logger=false"])
