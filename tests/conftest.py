from pathlib import Path

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
