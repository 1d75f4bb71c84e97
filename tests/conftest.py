import os
import socket
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import yaml
from hypothesis import settings
from lightning.pytorch import Trainer

# Derandomised, so that a failure can be reproduced on any machine. No deadline, as machines are noisy.
settings.register_profile("seqkit", max_examples=50, deadline=None, derandomize=True)
settings.load_profile("seqkit")

# The models in the tests are too small for a second thread to help, and parallel runs would compete for cores.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # in the processes that tests start


def pytest_addoption(parser):
    parser.addoption("--data-dir", default=None, help="folder of the real data sets for -m data")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Use a process for each core, up to four, for all tests, and none for chosen ones, which then start sooner."""
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword
    cores = min(os.cpu_count() or 1, 4)
    return 0 if chosen or cores == 1 else cores


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """Seed torch before each fixture that tests share: which test comes first depends on the run."""
    if fixturedef.scope != "function":
        torch.manual_seed(0)
    return (yield)


@pytest.fixture(autouse=True)
def seeded():
    """Seed torch before each test, so that it gives the same result in any run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir(request):
    given = request.config.getoption("--data-dir")
    if given is None:
        pytest.skip("needs the real data sets: --data-dir=DIR")
    return Path(given)


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory):
    """Use a new cache for every run, so that the user's is neither read nor changed."""
    folder = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        patch.setenv("HF_DATASETS_CACHE", str(folder))  # for other processes
        yield folder


@pytest.fixture(scope="session")
def loopback():
    """Skip tests of several processes if these cannot communicate."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError:
        pytest.skip("no loopback interface here")
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")


@pytest.fixture
def trainer(tmp_path):
    """Create Trainers that write no files and print nothing."""

    def make(**options):
        defaults = {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": tmp_path,
        }
        return Trainer(**(defaults | options))

    return make


def _rows(count, seed, lengths=(1, 9)):
    """Rows with labels that a model can learn: tags and labels follow the parity of the words."""
    random = np.random.default_rng(seed)
    words = [random.integers(0, 20, n) for n in random.integers(*lengths, count)]
    return {
        "words": [[f"w{i}" for i in row] for row in words],
        "tags": [["odd" if i % 2 else "even" for i in row] for row in words],
        "flags": [
            [[name for name in ("odd", "high") if (i % 2, i > 9)[name == "high"]] for i in row] for row in words
        ],
        "label": ["odd" if row[0] % 2 else "even" for row in words],
        "labels": [[name for name in ("odd", "high") if (row[0] % 2, row[0] > 9)[name == "high"]] for row in words],
        "series": [[[float(i), float(i % 2)] for i in row] for row in words],
        "values": [[float(i) for i in row] for row in words],
        "value": [float(row.sum()) for row in words],
    }


@pytest.fixture(scope="session")
def splits():
    """A small DatasetDict with one column for every kind of input and target."""
    return datasets.DatasetDict(
        train=datasets.Dataset.from_dict(_rows(60, 0)),
        validation=datasets.Dataset.from_dict(_rows(20, 1)),
        test=datasets.Dataset.from_dict(_rows(20, 2)),
    )


@pytest.fixture
def folder(splits, tmp_path, monkeypatch):
    """A working directory with rows on disk and a config that reads them."""
    monkeypatch.chdir(tmp_path)
    splits.save_to_disk("rows")
    config = {
        "model": {
            "class_path": "seqkit.Tagger",
            "init_args": {
                "embedding": {"class_path": "seqkit.nn.Embedding", "init_args": {"embedding_dim": 8}},
                "encoder": {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 8, "bidirectional": True}},
                "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.02}},
            },
        },
        "data": {
            "source": {"class_path": "seqkit.data.SavedDataset", "init_args": {"path": "rows"}},
            "inputs": "words",
            "targets": "tags",
            "max_tokens": 64,
        },
        "trainer": {"max_epochs": 3, "default_root_dir": "runs"},
    }
    Path("config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path
