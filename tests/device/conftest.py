from pathlib import Path

import pytest

from tests.device import strict

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path, config):
    """Collect these tests only in a process of their own; ``tests/test_device.py`` starts one."""
    given = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return None if all(path.is_relative_to(HERE) for path in given) else True


@pytest.fixture(scope="session", autouse=True)
def device():
    """Load the strict device, before the first backward of the process."""
    try:
        return strict.load()
    except strict.CannotBuildError as error:
        pytest.skip(str(error))
