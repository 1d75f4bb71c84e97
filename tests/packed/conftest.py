import pytest


@pytest.fixture(params=[False, True], ids=["sorts", "sorted"])
def enforce_sorted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
