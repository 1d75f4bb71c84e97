import pytest

import seqkit


@pytest.mark.parametrize("path", ["me/my-tagger", "", "gone.ckpt"])
def test_a_path_that_does_not_exist(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"no such checkpoint or folder; models of the Hub are loaded by from_"
    ):
        seqkit.load(path)


@pytest.mark.parametrize("path", [None, 3, ["best.ckpt"]])
def test_what_is_no_path(path):
    with pytest.raises(TypeError, match=r"path=.*: must be the path of a checkpoint or a folder, not a"):
        seqkit.load(path)


def test_a_device_that_the_machine_lacks(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="this machine has no device 'nowhere'"):
        seqkit.load(tmp_path, map_location="nowhere")
