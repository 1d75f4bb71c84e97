import sys

import pytest

from tests.packaging.tiny import ROOT


@pytest.fixture(autouse=True, scope="package")
def scripts():
    """The scripts of packaging/ find each other, as they do when one of them is started."""
    sys.path.insert(0, str(ROOT / "packaging"))
    yield
    sys.path.remove(str(ROOT / "packaging"))
