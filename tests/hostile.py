"""Checkpoints that try to run code: edits of tests/saved_files/tagger.ckpt, for the tests of every entry point.

Code has run if the file ``canary`` exists in the working directory, or the folder ``precious`` is gone.
"""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from seqkit import class_paths

MODULE = """
from pathlib import Path
import torch
import seqkit, seqkit.data, seqkit.losses, seqkit.nn, seqkit.optim

Path("canary").touch()

def touch(*_, **__):
    Path("canary").touch()

class Words(seqkit.data.Words): pass
class Labels(seqkit.data.Labels): pass
class Files(seqkit.data.Files): pass
class LSTM(seqkit.nn.LSTM): pass
class Embedding(seqkit.nn.Embedding): pass
class CharacterLSTM(seqkit.nn.CharacterLSTM): pass
class CRF(seqkit.nn.CRF): pass
class CrossEntropy(seqkit.losses.CrossEntropy): pass
class SGD(torch.optim.SGD): pass
class WarmupCosine(seqkit.optim.WarmupCosine): pass
class Tagger(seqkit.Tagger): pass
"""
TOUCH = ["touch", "canary"]

# What a class_path may say instead of a class: the path and its arguments.
CALLS = {
    "os.system": {"command": "touch canary"},
    "os.mkdir": {"path": "canary"},
    "posix.mkdir": {"path": "canary"},
    "subprocess.call": {"args": TOUCH},
    "subprocess.Popen": {"args": TOUCH},
    "builtins.eval": {"expression": "open('canary', 'w')"},
    "builtins.exec": {"object": "open('canary', 'w')"},
    "builtins.open": {"file": "canary", "mode": "w"},
    "io.FileIO": {"file": "canary", "mode": "w"},
    "pathlib.Path.touch": {"self": "canary"},
    "pathlib.Path.write_text": {"self": "canary", "data": ""},
    "shutil.rmtree": {"path": "precious"},
    "runpy.run_path": {"path_name": "evil.py"},
    "importlib.import_module": {"name": "evil"},
    "seqkit.files.os.system": {"command": "touch canary"},
    "seqkit.class_paths.import_module": {"name": "evil"},
    "seqkit.class_paths.class_at": {"path": "evil.LSTM"},
    "seqkit.cli.main": {"args": ["fit"]},
    "seqkit.__main__.main": {"args": ["fit"]},
    "seqkit.nn.rnn.layers.torch.os.system": {"command": "touch canary"},
    "torch.os.system": {"command": "touch canary"},
    "torch.serialization.os.mkdir": {"path": "canary"},
    "torch.nn.modules.module.functools.partial": {"func": "evil.touch"},
    "torch.hub.load": {"repo_or_dir": ".", "model": "evil", "source": "local"},
    "torch.nn.Module.__init_subclass__": {},
    "lightning.pytorch.cli.instantiate_class": {"init": {"class_path": "evil.LSTM"}},
    "evil.touch": {},
    "evil.LSTM": {"hidden_size": 2},
    "evil.LSTM.__class__": {},
    "evil:LSTM": {},
    "my_project2.LSTM": {"hidden_size": 2},
    ".evil.LSTM": {},
    "lambda: open('canary', 'w')": {},
}


def _argument(name, value):
    def edit(checkpoint):
        checkpoint["hyper_parameters"][name] = value

    return edit


def _data(name, value):
    def edit(checkpoint):
        checkpoint["seqkit_data"][name] = value

    return edit


def _entry(group, name, **changes):
    def edit(checkpoint):
        checkpoint["hyper_parameters"]["spec"][group][name] |= changes

    return edit


def _top(**changes):
    return lambda checkpoint: checkpoint.update(changes)


def _part(class_path, **init_args):
    return {"class_path": class_path, "init_args": init_args}


def _stack(*layers):
    return _part("seqkit.nn.Stack", layers=list(layers))


_SYSTEM = _part("os.system", command="touch canary")
_TEXT = "{class_path: evil.LSTM, init_args: {hidden_size: 2}}"

# Places of a checkpoint from which a model is rebuilt.
MODEL_PLACES = {
    "encoder": _argument("encoder", _part("evil.LSTM", hidden_size=2, bidirectional=True)),
    "encoder, a function": _argument("encoder", _SYSTEM),
    "encoder, only a text": _argument("encoder", "evil.LSTM"),
    "encoder, only a name": _argument("encoder", "evil"),
    "encoder, as text": _argument("encoder", "{class_path: evil.LSTM, init_args: {hidden_size: 2}}"),
    "encoder, in a list": _argument("encoder", [_part("evil.LSTM", hidden_size=2)]),
    "encoder, without class_path": _argument("encoder", {"init_args": {"hidden_size": _SYSTEM}}),
    "encoder, further keys": _argument("encoder", _part("seqkit.nn.LSTM") | {"hidden_size": _SYSTEM}),
    "layers of a stack": _argument("encoder", _stack(_part("evil.LSTM", hidden_size=2))),
    "layers of a stack, as text": _argument("encoder", _stack("evil.LSTM")),
    "a stack's layers, as text": _argument("encoder", _part("seqkit.nn.Stack", layers="[evil.LSTM]")),
    "hidden_size": _argument("encoder", _part("seqkit.nn.LSTM", hidden_size=_SYSTEM)),
    "dict_kwargs": _argument("encoder", {"class_path": "seqkit.nn.LSTM", "dict_kwargs": {"hidden_size": _SYSTEM}}),
    "device": _argument("encoder", _part("seqkit.nn.LSTM", hidden_size=2, device="evil.LSTM")),
    "a dotted key": _argument("encoder", _part("seqkit.nn.LSTM") | {"init_args": {"x.class_path": "evil.LSTM"}}),
    "embedding": _argument("embedding", _part("evil.Embedding", embedding_dim=2)),
    "embeddings": _argument("embeddings", {"letters": _part("evil.CharacterLSTM", hidden_size=1)}),
    "embeddings, as text": _argument("embeddings", "{letters: {class_path: evil.CharacterLSTM}}"),
    "decoder": _argument("decoder", _part("evil.CRF")),
    "loss": _argument("loss", _part("evil.CrossEntropy")),
    "optimizer": _argument("optimizer", _part("evil.SGD", lr=0.5)),
    "optimizer, a function": _argument("optimizer", _SYSTEM),
    "lr_scheduler": _argument("lr_scheduler", _part("evil.WarmupCosine", warmup=0.5)),
    "lr_scheduler, a function": _argument("lr_scheduler", _part("evil.touch")),
    "a function of a schedule": _argument(
        "lr_scheduler", _part("torch.optim.lr_scheduler.LambdaLR", lr_lambda="evil.touch")
    ),
    "an unknown argument": _argument("evil", _part("evil.LSTM")),
    "an argument for plain types": _argument("dropout", _part("evil.LSTM")),
    "model": _argument("_class_path", "evil.Tagger"),
    "model, a function": _argument("_class_path", "os.system"),
    "model, another class": _argument("_class_path", "seqkit.nn.LSTM"),
    "model, no text": _argument("_class_path", ["evil.Tagger"]),
    "instantiator": _argument("_instantiator", "evil.touch"),
    "instantiator of Lightning": _argument("_instantiator", "lightning.pytorch.cli.instantiate_class"),
    "input": _entry("inputs", "words", class_path="evil.Words"),
    "input, a function": _entry("inputs", "words", **_SYSTEM),
    "input, another class": _entry("inputs", "words", class_path="seqkit.nn.LSTM"),
    "input, nested": _entry("inputs", "words", init_args={"tokenizer": _part("evil.Words")}),
    "input, deeply nested": _entry("inputs", "words", init_args={"tokenizer": [{"a": _part("evil.Words")}]}),
    "target": _entry("targets", "tags", class_path="evil.Labels"),
    "target, a function": _entry("targets", "tags", **_SYSTEM),
    "spec": _argument("spec", _part("evil.Words")),
    "spec, as text": _argument("spec", "{class_path: evil.Words}"),
    "spec, further keys": lambda checkpoint: checkpoint["hyper_parameters"]["spec"]["inputs"].update(x=_SYSTEM),
    "spec, another group": lambda checkpoint: checkpoint["hyper_parameters"]["spec"].update(x=_SYSTEM),
    "spec, another group, as text": lambda checkpoint: checkpoint["hyper_parameters"]["spec"].update(x=_TEXT),
    "input, another key": _entry("inputs", "words", x=_SYSTEM),
    "target, in a list": _entry("targets", "tags", names=[_SYSTEM]),
    "no arguments": _top(hyper_parameters=None),
    "arguments are text": _top(hyper_parameters="evil.touch"),
}
# Places from which the command line rebuilds the data.
DATA_PLACES = {
    "source": _data("source", _part("evil.Files", train="rows.jsonl")),
    "source, a function": _data("source", _SYSTEM),
    "source, only a text": _data("source", "evil.Files"),
    "source, a dataset": _data("source", _part("datasets.DatasetDict")),
    "source, nested": _data("source", _part("seqkit.data.Files", train=_part("evil.touch"))),
    "data input": _data("inputs", {"words": _part("evil.Words")}),
    "data input, as text": _data("inputs", "{words: {class_path: evil.Words}}"),
    "data input, in a list": _data("inputs", [_part("evil.Words")]),
    "data target": _data("targets", {"tags": _part("evil.Labels")}),
    "cost": _data("cost", _part("evil.LSTM")),
    "cost, nested": _data("cost", {"per_step": _SYSTEM}),
    "continuous": _data("continuous", _SYSTEM),
    "max_tokens": _data("max_tokens", _SYSTEM),
    "unknown data": _data("evil", _SYSTEM),
    "dotted data": _data("source.class_path", "evil.Files"),
    "data, a list": _top(seqkit_data=[_SYSTEM]),
}
# Keys that Lightning or the parser, but not seqkit, reads: they change nothing.
IGNORED = {
    "a text in the spec": _entry("targets", "tags", x=_TEXT),
    "texts in the spec": _entry("inputs", "words", x=[_TEXT]),
    "old arguments": _top(hparams={"encoder": _SYSTEM, "_instantiator": "evil.touch"}),
    "older arguments": _top(module_arguments={"_class_path": "evil.Tagger", "_instantiator": "evil.touch"}),
    "name of the arguments": _top(hparams_name="spec"),
    "data module": _top(datamodule_hyper_parameters={"_instantiator": "evil.touch"}, datamodule_hparams_name="x"),
}


PATHS = {
    path: _argument("encoder", {"class_path": path, "init_args": arguments}) for path, arguments in CALLS.items()
}


class Payload:
    """Touches the canary when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("canary"),)


def save_edited(edit, path="hostile.ckpt"):
    """Save an edited copy of the fixture's checkpoint in the working directory."""
    checkpoint = torch.load("tagger.ckpt", weights_only=True)
    edit(checkpoint)
    torch.save(checkpoint, path)
    return path


def save_payload(path="hostile.ckpt"):
    """Save a checkpoint that runs code when it is unpickled without weights_only."""
    return save_edited(_top(callbacks={"evil": Payload()}), path)


@pytest.fixture
def den(tmp_path, monkeypatch):
    """A working directory on the path of imports with the saved files, hostile modules and something to lose."""
    shutil.copytree(Path(__file__).with_name("saved_files"), tmp_path, dirs_exist_ok=True)
    for name in ("evil", "my_project2"):
        (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "precious").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    forget_modules()
    yield tmp_path
    forget_modules()


def forget_modules():
    """Forget the modules of the test and every consent, as a new process would."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("evil", "my_project", "my_project2")]:
        del sys.modules[name]
    class_paths._allowed.clear()


def assert_nothing_ran(folder):
    """Check that no code of a hostile checkpoint has run."""
    assert not (folder / "canary").exists()
    assert (folder / "precious").is_dir()
