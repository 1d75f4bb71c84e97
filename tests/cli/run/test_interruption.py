import os
import shlex
import signal
import sys

import pytest

from seqkit.callbacks import Summary
from seqkit.cli import main
from seqkit.cli.run.interruption import command_to_continue, exit_status
from tests.cli.cases import one_parser

__all__ = ["one_parser"]

QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]

pytestmark = [
    pytest.mark.usefixtures("one_parser"),
    # Calls of Lightning that the pinned jsonargparse deprecates.
    pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"),
]


@pytest.fixture
def stopped(folder, monkeypatch, capsys):
    """Run a fit that an action stops at a step; return the error and what it has printed."""

    def run(action, step, *options):
        def hook(callback, trainer, *_):
            if trainer.global_step == step:
                action()

        with monkeypatch.context() as patch:
            patch.setattr(Summary, "on_train_batch_end", hook)
            with pytest.raises(BaseException) as raised:  # noqa: PT011
                main(["fit", "--config", "config.yaml", *QUICK, *options])
        return raised.value, capsys.readouterr().err

    return run


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_fit_prints_the_command_that_continues_it(number, status, stopped):
    error, printed = stopped(send(number), 15, "--data.seed", "7", "--trainer.default_root_dir=my runs")
    assert isinstance(error, SystemExit)
    assert error.code == status
    *_, text, command = printed.splitlines()
    assert text == "fit was stopped. The last checkpoint is my runs/version_0/checkpoints/last.ckpt. Continue with:"
    assert command == (
        f"python -m seqkit fit --config config.yaml {' '.join(QUICK)} --data.seed 7 "
        f"'--trainer.default_root_dir=my runs' --ckpt_path 'my runs/version_0/checkpoints/last.ckpt'"
    )
    cli = main(shlex.split(command)[3:])
    assert cli.trainer.current_epoch == 3
    assert cli.trainer.ckpt_path == "my runs/version_0/checkpoints/last.ckpt"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_fit_stopped_before_its_first_checkpoint(stopped):
    _, printed = stopped(send(signal.SIGINT), 1)
    assert printed.splitlines()[-1] == "fit was stopped. It has saved no checkpoint yet."


@pytest.mark.parametrize("failed", [ZeroDivisionError("in a callback"), FileNotFoundError("rows.arrow is gone")])
def test_a_fit_that_fails_prints_the_command_and_raises_the_error(failed, stopped):
    def fail():
        raise failed

    error, printed = stopped(fail, 15)
    assert error is failed
    assert error.__cause__ is None
    *_, text, command = printed.splitlines()
    assert text == "The last checkpoint is runs/version_0/checkpoints/last.ckpt. Continue with:"
    assert command.endswith("--ckpt_path runs/version_0/checkpoints/last.ckpt")


def test_the_command_has_the_last_checkpoint_only():
    args = [
        "fit",
        "--ckpt_path",
        "old.ckpt",
        "--config=a b.yaml",
        "--ckpt_path=older.ckpt",
        "--trainer.max_epochs",
        "3",
    ]
    command = command_to_continue(args, "new.ckpt")
    if sys.platform != "win32":
        assert command == "python -m seqkit fit '--config=a b.yaml' --trainer.max_epochs 3 --ckpt_path new.ckpt"


def test_other_errors_have_no_exit_status():
    assert exit_status(SystemExit(1)) is None
    assert exit_status(ValueError("wrong")) is None
