import collections

import pytest
import torch

import seqkit
from seqkit import data, nn
from seqkit.class_paths import allow, class_at, public_path, resolve_class, trusted_modules


class Own:
    class Inner:
        pass


@pytest.mark.parametrize(
    ("cls", "path"),
    [
        (seqkit.Tagger, "seqkit.Tagger"),
        (seqkit.SequenceDataModule, "seqkit.SequenceDataModule"),
        (nn.LSTM, "seqkit.nn.LSTM"),
        (nn.CRF, "seqkit.nn.CRF"),
        (data.Words, "seqkit.data.Words"),
        (data.SavedDataset, "seqkit.data.SavedDataset"),
        (seqkit.LengthBucketSampler, "seqkit.LengthBucketSampler"),
        (torch.optim.Adam, "torch.optim.Adam"),
        (torch.nn.LSTM, "torch.nn.LSTM"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (Own, f"{__name__}.Own"),
        (Own.Inner, f"{__name__}.Own.Inner"),
    ],
)
def test_the_shortest_path_that_imports_the_class(cls, path):
    assert public_path(cls) == path
    assert class_at(path) is cls


def test_a_path_without_a_class():
    with pytest.raises(ValueError, match=r"cannot import 'seqkit.nn.Lstm': .*; give the path of a class, such as"):
        class_at("seqkit.nn.Lstm")
    with pytest.raises(ValueError, match=r"cannot import 'nowhere.LSTM': No module named 'nowhere'; give the path"):
        class_at("nowhere.LSTM")
    with pytest.raises(ValueError, match=r"'seqkit.nn' is a module; give the path of a class"):
        class_at("seqkit.nn")


def test_a_class_of_a_library_is_resolved():
    assert resolve_class("seqkit.nn.LSTM", torch.nn.Module, place="here") is nn.LSTM
    assert resolve_class("torch.optim.adam.Adam", (torch.optim.Optimizer, dict), place="here") is torch.optim.Adam


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("collections.OrderedDict", r"here names 'collections.OrderedDict'\. Only classes of seqkit, torch\.nn,"),
        ("seqkitten.nn.LSTM", r"trust=\['seqkitten'\], or --trust seqkitten on the command line"),
        ("torch._dynamo.config", "Only classes of"),
        ("seqkit.files.os.PathLike", r"trust=\['os'\]"),
        ("seqkit.nn", "'seqkit.nn' is a module"),
        ("seqkit.nn.Lstm", "here: cannot import 'seqkit.nn.Lstm'"),
        ("seqkit.data.Words", "here: 'seqkit.data.Words' is not a subclass of torch.nn.Module, which is expected"),
        (["seqkit.nn.LSTM"], "it must be the path of a class"),
        ("", "it must be the path of a class"),
    ],
)
def test_what_is_not_resolved(path, message):
    with pytest.raises(ValueError, match=message):
        resolve_class(path, torch.nn.Module, place="here")


def test_trust_covers_a_module_and_those_in_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_parts").mkdir()
    (tmp_path / "own_parts" / "__init__.py").write_text(
        "from own_parts.sub import Part\nfrom decimal import Decimal"
    )
    (tmp_path / "own_parts" / "sub.py").write_text("class Part: pass")
    with pytest.raises(ValueError, match="names 'own_parts"):
        resolve_class("own_parts.sub.Part", object, trust=["own", "own_part", "own_parts.su", "x"], place="here")
    with pytest.raises(ValueError, match=r"trust=\['decimal'\]"):
        resolve_class("own_parts.Decimal", object, trust="own_parts", place="here")
    found = resolve_class("own_parts.Part", object, trust="own_parts", place="here")
    assert resolve_class("own_parts.sub.Part", object, place="here") is found  # once for the process


def test_a_class_that_the_program_has_needs_no_trust():
    class Local(torch.nn.Module):
        pass

    path = f"{__name__}.{Local.__qualname__}"
    with pytest.raises(ValueError, match="Only classes of"):
        resolve_class(path, torch.nn.Module, place="here")
    allow(Local)
    assert resolve_class(path, torch.nn.Module, place="here") is Local
    with pytest.raises(ValueError, match="not a subclass"):
        resolve_class(path, torch.optim.Optimizer, place="here")


def test_names_of_trusted_modules():
    assert trusted_modules("my_project") == ["my_project"]
    assert trusted_modules(("a", "b.c")) == ["a", "b.c"]
    for wrong in ("", "*", "a.", "my-project", 3):
        with pytest.raises(ValueError, match="give names of modules, such as my_project"):
            trusted_modules([wrong])
