import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException

from seqkit.cli import main
from seqkit.cli.messages import exit_with_message, message_of
from seqkit.files import check_not_read
from tests import processes

pytestmark = pytest.mark.filterwarnings(
    "ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning"
)


def raised(action):
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("no error")


def test_errors_of_the_input_have_a_message_and_faults_have_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.touch()
    assert "rows.jsonl is read" in message_of(raised(lambda: check_not_read(path, path)))
    assert "gone.txt" in message_of(raised((tmp_path / "gone.txt").read_text))
    assert message_of(MisconfigurationException("needs a GPU")) == "needs a GPU"
    for fault in (
        lambda: int("x"),
        lambda: {}["x"],
        lambda: None.x,
        lambda: check_not_read(None, path),
        lambda: 1 / 0,
    ):
        assert message_of(raised(fault)) is None


def test_an_argument_that_the_trainer_refuses(folder):
    error = raised(lambda: main(["fit", "--config", "config.yaml", "--trainer.accelerator=gpuu"]))
    assert "invalid accelerator name: `accelerator='gpuu'`" in message_of(error)


def test_a_message_does_not_control_the_terminal(capsys):
    with pytest.raises(SystemExit, match="1"):
        exit_with_message(FileNotFoundError("ö\t\x1b[2Jx\rrows\n\udce4 is no file"))
    assert capsys.readouterr().err == "error: ö\t\\x1b[2Jx\\rrows\n\\udce4 is no file\n"


def run(*args, **env):
    command = [sys.executable, "-m", "seqkit", *args]
    return subprocess.run(command, capture_output=True, text=True, env=env or None, check=False)


def run_forked(*args):
    return processes.run("-m", "seqkit", *args, check=False)


def test_the_process_exits_with_one_line_for_the_users_error_and_a_traceback_for_a_fault(folder):
    found = run("test", "--ckpt_path=gone.ckpt")
    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        "error: --ckpt_path=gone.ckpt does not exist; a fit writes runs/version_N/checkpoints/best.ckpt"
    ]
    Path("own.py").write_text(
        "from seqkit.data.sources import Source\n\n\nclass Own(Source):\n    def load(self):\n        1 / 0\n"
    )
    found = run_forked("inspect", "--config", "config.yaml", "--data.source=own.Own")
    assert found.returncode == 1
    assert "Traceback (most recent call last)" in found.stderr
    assert found.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "--model.init_args.encoder.init_args.hidden_size=-3",
            "error: seqkit.nn.LSTM: hidden_size must be",
        ),
        ("--model.init_args.optimizer.init_args.lr=-1", "error: torch.optim.Adam: Invalid learning rate: -1.0"),
    ],
)
def test_an_argument_that_a_class_of_the_config_refuses(option, message, folder):
    found = run_forked("fit", "--config", "config.yaml", "--trainer.logger=false", option)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1].startswith(message)
    assert "Traceback" not in found.stderr


def test_scores_of_an_untrained_model_come_with_a_warning(folder):
    with pytest.warns(UserWarning, match="test uses the model as it is created, without trained weights"):
        main(["test", "--config", "config.yaml", "--trainer.logger=false", "--trainer.enable_progress_bar=false"])


def test_a_refusal_of_an_own_class_says_where(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    Path("own_source.py").write_text(
        "class Own:\n"
        "    def __init__(self, size: int):\n"
        "        raise ValueError('too small')\n\n"
        "    def load(self):\n"
        "        pass\n"
    )
    options = ["--data.source=own_source.Own", "--data.source.init_args.size=3"]
    error = raised(lambda: main(["inspect", "--config", "config.yaml", *options]))
    assert message_of(error) == f"own_source.Own: too small ({folder / 'own_source.py'}, line 3)"


@pytest.mark.parametrize(
    ("option", "encoder", "arguments", "message"),
    [
        ("inputs", "Words", '"min_frequency": 0', "min_frequency=0: must be an integer of at least 1"),
        ("targets", "Labels", '"names": ["a", "a"]', "'a'"),
        ("inputs", "TokenizerFile", '"path": "gone.json"', "gone.json"),
    ],
)
def test_an_argument_that_an_encoder_refuses(option, encoder, arguments, message, folder):
    part = f'{{"class_path": "seqkit.data.{encoder}", "init_args": {{{arguments}}}}}'
    options = ["--trainer.logger=false", f'--data.{option}={{"words": {part}}}']
    found = message_of(raised(lambda: main(["fit", "--config", "config.yaml", *options])))
    assert message in (found or "")
    assert "Got value" not in found


def test_an_error_in_a_row_names_the_row_of_the_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = {"series": [[[1.0], [2.0]]] * 20 + [[[float("nan")]]], "y": [0.5] * 21}
    datasets.Dataset.from_dict(rows).save_to_disk("rows")
    encoder = {"class_path": "seqkit.nn.GRU", "init_args": {"hidden_size": 4}}
    source = {"class_path": "seqkit.data.SavedDataset", "init_args": {"path": "rows"}}
    config = {
        "model": {"class_path": "seqkit.Regressor", "init_args": {"encoder": encoder}},
        "data": {"source": source, "inputs": "series", "targets": "y", "max_tokens": 8, "seed": 0},
    }
    Path("config.yaml").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^train row 20 \(column 'series'\): channel 0 is nan at step 0"):
        main(["fit", "--config", "config.yaml", "--trainer.logger=false"])
