import subprocess
import sys


def test_help_names_every_subcommand():
    run = subprocess.run([sys.executable, "-m", "seqkit", "--help"], check=True, capture_output=True, text=True)
    for name in ("fit", "validate", "test", "predict", "inspect", "find_lr", "find_max_tokens", "sweep"):
        assert name in run.stdout


def test_sweep_has_options_of_its_own():
    run = [sys.executable, "-m", "seqkit", "sweep", "--help"]
    assert "--seeds" in subprocess.run(run, check=True, capture_output=True, text=True).stdout
