from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn

from seqkit.upstream.jsonargparse import parameter_types, partial_class, union_errors

CHANGED = f"jsonargparse {version('jsonargparse')} differs from 4.53: adapt seqkit.upstream.jsonargparse.{{}}"


def test_partial_class():
    class Model:
        def __init__(
            self,
            encoder: Callable[[int], nn.Module],
            optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] = torch.optim.Adam,
        ):
            self.parts = encoder, optimizer

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Model, "model")
    encoder = {"class_path": "torch.nn.Linear", "init_args": {"out_features": 3}}
    config = parser.parse_object({"model": {"encoder": encoder, "optimizer": "torch.optim.SGD"}})
    model = parser.instantiate_classes(config).model
    changed = CHANGED.format("partial_class (the parser gives another kind of callable)")
    assert all(isinstance(part, partial) for part in model.parts), changed
    assert [partial_class(part) for part in model.parts] == [nn.Linear, torch.optim.SGD], changed
    assert partial_class(partial(nn.Linear, out_features=3)) is None
    assert partial_class(partial(isinstance, nn.Linear)) is None


class Base:
    def __init__(self, size: int, *, rate: float | None = None, untyped=1):
        pass


class Derived(Base):
    def __init__(self, encoder: Callable[[int], nn.Module], **options):
        super().__init__(3, **options)


def test_parameter_types():
    """Also those of the constructor to which options are passed on."""
    found = parameter_types(Derived)
    changed = CHANGED.format("parameter_types (the parameters of a class and their types)")
    expected = {"encoder": Callable[[int], nn.Module], "rate": float | None, "untyped": Any}
    assert {name: found.get(name) for name in expected} == expected, changed
    assert parameter_types(torch.optim.SGD)["momentum"] is float, changed


class Refusing:
    def __init__(self, size: int):
        raise ValueError(f"size={size}: too small")


def test_union_errors():
    """Also those of a part in a dictionary, which is not the first type of the union."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--part", type=str | dict[str, Refusing])
    part = {"class_path": f"{__name__}.Refusing", "init_args": {"size": 3}}
    config = parser.parse_object({"part": {"column": part}})
    with pytest.raises(ValueError, match="Union") as raised:
        parser.instantiate_classes(config)
    changed = CHANGED.format("union_errors (the errors of a union's types)")
    assert "size=3: too small" in [str(error) for error in union_errors(raised.value)], changed
    assert union_errors(raised.value.__cause__) == []
