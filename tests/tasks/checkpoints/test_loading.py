import io
import pickle
from argparse import Namespace

import pytest
import torch

from seqkit.tasks.checkpoints.loading import read_checkpoint


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "good.ckpt"
    torch.save({"epoch": 3, "weights": torch.zeros(100)}, path)
    return path


def test_both_formats_of_torch_and_open_files(checkpoint, tmp_path):
    torch.save({"epoch": 4}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert read_checkpoint(checkpoint)["epoch"] == 3
    assert read_checkpoint(tmp_path / "old.ckpt")["epoch"] == 4
    assert read_checkpoint(io.BytesIO(checkpoint.read_bytes()))["epoch"] == 3


@pytest.mark.parametrize("content", [b"", b"P", b"hello world\n" * 9, bytes(5000), pickle.dumps({"epoch": 3})])
def test_another_file_is_no_checkpoint(content, tmp_path):
    (tmp_path / "notes.txt").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"notes\.txt is no checkpoint of seqkit: torch\.save has not written it; name a file"
    ):
        read_checkpoint(tmp_path / "notes.txt")


def test_a_file_that_is_cut_off_is_damaged(checkpoint):
    content = checkpoint.read_bytes()
    for length in (2, 100, len(content) // 2, len(content) - 1):
        checkpoint.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"good\.ckpt is damaged, or holds more than") as raised:
            read_checkpoint(checkpoint)
        assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_an_object_is_named_without_the_advice_to_read_it(zipped, tmp_path):
    path = tmp_path / "object.ckpt"
    torch.save({"options": Namespace(rate=1)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"and is not read \(it names argparse\.Namespace\)$") as raised:
        read_checkpoint(path)
    assert "weights_only" not in str(raised.value)


def test_a_folder_and_a_missing_file_are_errors_of_the_system(tmp_path):
    with pytest.raises(OSError, match=r"ectory|denied"):
        read_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone"):
        read_checkpoint(tmp_path / "gone.ckpt")


@pytest.mark.parametrize("device", ["nowhere", "cpu:x", torch.device("cuda:99")])
def test_a_device_that_the_machine_lacks_is_named(device, checkpoint):
    with pytest.raises(
        ValueError, match=rf"this machine has no device '{device}' \(.*\); give another one, such as"
    ):
        read_checkpoint(checkpoint, device)
    assert read_checkpoint(checkpoint, torch.device("cpu"))["epoch"] == 3
    assert read_checkpoint(checkpoint, {"cuda:0": "cpu"})["epoch"] == 3


def test_a_server_that_does_not_answer(monkeypatch):
    def unreachable(_):
        raise FileNotFoundError("https://example.com/best.ckpt")  # all that fsspec says

    monkeypatch.setattr("seqkit.tasks.checkpoints.loading.get_filesystem", unreachable)
    with pytest.raises(FileNotFoundError, match=r"no such file, or its server cannot be reached: 'https://exam"):
        read_checkpoint("https://example.com/best.ckpt")
