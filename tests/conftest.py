from pathlib import Path

import datasets
import pytest
from hypothesis import settings

# Derandomised: a failure on one machine is a failure on all. No deadline: machines are noisy.
settings.register_profile("seqkit", max_examples=50, deadline=None, derandomize=True)
settings.load_profile("seqkit")


def pytest_addoption(parser):
    parser.addoption("--data-dir", default=None, help="folder of the real data sets, for -m data")


@pytest.fixture(scope="session")
def data_dir(request):
    given = request.config.getoption("--data-dir")
    if given is None:
        pytest.skip("needs the real data sets: --data-dir DIR")
    return Path(given)


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory):
    """A cache of its own for every run: nothing is taken from, or left in, the user's."""
    folder = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        yield folder
