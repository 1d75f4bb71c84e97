import logging

import pytest

from tests.tasks.sharing.cases import stub_hub
from tests.tasks.test_every_task import build, rows

__all__ = ["rows"]


@pytest.fixture
def tagger(rows):
    return build("tagger", rows)[0]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The stub of the Hub, with an empty cache and no token."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with stub_hub() as made:
        yield made


@pytest.fixture
def shared(tagger, tmp_path):
    tagger.save_pretrained(tmp_path / "shared")
    return tmp_path / "shared"
