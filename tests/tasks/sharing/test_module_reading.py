import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqkit import Classifier, Tagger
from tests.tasks.sharing.cases import edit


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name, shared):
    (shared / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"a model of seqkit needs {name}.*shared"):
        Tagger.from_pretrained(shared)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_config(content, shared):
    (shared / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json is damaged: .*; save or download it again"):
        Tagger.from_pretrained(shared)


@pytest.mark.parametrize(
    "content", [[], None, {}, {"model_type": "bert"}, {"class_path": 1}, {"class_path": "a", "init_args": []}]
)
def test_a_config_of_something_else(content, shared):
    (shared / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"is no config of a model of seqkit: (class_path|init_args) is"):
        Tagger.from_pretrained(shared)


def test_damaged_weights(shared):
    path = shared / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[:100], whole[:-1], bytes(300)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors is damaged: .*; save or download it again"):
            Tagger.from_pretrained(shared)


def test_weights_that_do_not_fit(shared):
    path = shared / "model.safetensors"
    whole = load_file(path)
    name = next(iter(whole))
    others = {key: value for key, value in whole.items() if key != name}
    changes = {"Missing key": others, "Unexpected key": whole | {"x": torch.zeros(1)}}
    changes["size mismatch"] = others | {name: torch.zeros(1, 1)}
    for message, state in changes.items():
        save_file(state, path)
        with pytest.raises(ValueError, match=rf"safetensors does not fit its config\.json: (?s:.*){message}"):
            Tagger.from_pretrained(shared)


def test_a_model_of_another_task(shared):
    with pytest.raises(ValueError, match=r"the folder is one of seqkit\.Tagger, but the model is seqkit\.Clas"):
        Classifier.from_pretrained(shared)


def test_a_pickle_in_the_place_of_the_weights_is_not_read(shared):
    (shared / "model.safetensors").rename(shared / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"needs model\.safetensors"):
        Tagger.from_pretrained(shared)


def test_another_version_is_named_where_it_explains_an_error(shared):
    edit(shared, seqkit_version="9.0")
    Tagger.from_pretrained(shared)
    config = json.loads((shared / "config.json").read_text())
    edit(shared, init_args=config["init_args"] | {"novelty": 1})
    with pytest.raises(ValueError, match=r"cannot build .*'novelty'\. The model was saved by seqkit 9\.0"):
        Tagger.from_pretrained(shared)


def test_a_file_and_a_name_that_is_neither_folder_nor_id(shared):
    with pytest.raises(ValueError, match=r"config\.json is a file; name a folder of save_pretrained"):
        Tagger.from_pretrained(shared / "config.json")
    with pytest.raises(ValueError, match=r"there is no folder '\./gone/model', and it is no id of the Hub"):
        Tagger.from_pretrained("./gone/model")


def test_sizes_that_the_memory_lacks(shared):
    config = json.loads((shared / "config.json").read_text())
    config["init_args"]["encoder"]["init_args"]["hidden_size"] = 10**9
    edit(shared, init_args=config["init_args"])
    with pytest.raises(ValueError, match=r"cannot build the model of .*config\.json"):
        Tagger.from_pretrained(shared)
