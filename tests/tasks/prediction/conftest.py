import functools

import pytest

from tests.tasks.prediction import cases


@pytest.fixture(scope="session")
def model():
    """Build the model of a kind once."""
    return functools.cache(cases.build)
