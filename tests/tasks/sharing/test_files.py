import json

import pytest
import torch
from torch import nn

from seqkit.tasks.sharing.files import read_config, read_weights, write_config, write_weights

CONFIG = {
    "seqkit_version": "0.1.0",
    "class_path": "seqkit.Tagger",
    "spec": {"b": 1, "a": [2.5, None]},
    "init_args": {},
}


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(3, 2)
        self.other = nn.Linear(3, 2, bias=False)
        self.other.weight = self.one.weight
        flat = torch.arange(8.0)
        self.first, self.second = nn.Parameter(flat[:4].view(2, 2).t()), nn.Parameter(flat[2:6])
        self.register_buffer("count", torch.tensor(3))


def test_a_config_comes_back_in_its_order(tmp_path):
    write_config(CONFIG, tmp_path / "config.json")
    assert read_config(tmp_path / "config.json") == CONFIG
    assert list(json.loads((tmp_path / "config.json").read_text())["spec"]) == ["b", "a"]


@pytest.mark.parametrize("value", [{1: "a"}, float("nan"), {"a": object()}])
def test_arguments_that_json_cannot_keep(value, tmp_path):
    with pytest.raises(ValueError, match=r"the arguments of seqkit\.Tagger cannot be kept as JSON"):
        write_config(CONFIG | {"init_args": {"x": value}}, tmp_path / "config.json")
    assert list(tmp_path.iterdir()) == []


def test_weights_with_several_names_are_written_once(tmp_path):
    model, path = Tied(), tmp_path / "model.safetensors"
    write_weights(model, path)
    state = model.state_dict()
    found = read_weights(path, "cpu")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert path.stat().st_size < 8 * 150
    assert path.read_bytes().count(b"weight") == 3  # the two names, and the name of the first in the metadata


def test_a_state_of_more_than_tensors_is_refused(tmp_path):
    class Extra(nn.Module):
        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            pass

    with pytest.raises(TypeError, match="_extra_state in the state of Extra is a dict, no tensor"):
        write_weights(Extra(), tmp_path / "model.safetensors")


def test_names_in_the_metadata_that_lead_nowhere_are_ignored(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors", {"format": "pt", "b": "a", "c": "gone"})
    assert list(read_weights(tmp_path / "x.safetensors", "cpu")) == ["a", "b"]
