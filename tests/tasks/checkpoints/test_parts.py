from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest
import torch
from torch import nn

from seqkit.nn import LSTM
from seqkit.tasks.checkpoints.parts import build_arguments, check_arguments

SIZE = {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 2}}


@dataclass
class Cost:
    step: float = 1.0


class Own:
    def __init__(
        self,
        encoder: Callable[[int], nn.Module] | None = None,
        layers: list[Callable[[int], nn.Module]] | None = None,
        module: nn.Module | None = None,
        cost: Cost | None = None,
        pair: tuple[float, float] = (0.0, 0.0),
        activation: str | Callable[[torch.Tensor], torch.Tensor] = "relu",
        callback: Callable[[torch.Tensor], torch.Tensor] | str = "relu",
        device: torch.device | str | None = None,
        mode: Literal["a", "b.c"] | nn.Module = "a",
        kind: type[nn.Module] | None = None,
        anything: Any = None,
        text: str = "",
    ):
        pass


def check(**arguments):
    return check_arguments(Own, arguments, trust=(), place="own")


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoder": SIZE},
        {"encoder": None, "layers": [SIZE, SIZE]},
        {"module": {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 2}}},
        {"cost": {"step": 2.0}, "pair": [1.0, 2.0]},
        {"activation": "tanh", "device": "cpu", "mode": "b.c", "anything": {"a": [1, "b"]}},
        {"text": "{class_path: os.system}", "anything": "evil.LSTM"},
    ],
)
def test_what_belongs_there_stays(arguments):
    assert check(**arguments) == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": {"class_path": "torch.optim.SGD", "init_args": {}}}, "not a subclass of torch.nn.Module"),
        ({"encoder": [SIZE]}, "own.encoder is a list, which is not expected there"),
        ({"encoder": {"hidden_size": 2}}, r"own.encoder has the keys \['hidden_size'\] but no class_path"),
        ({"encoder": "seqkit.nn.LSTM"}, "own.encoder is 'seqkit.nn.LSTM'; a checkpoint names a part by class_path"),
        ({"layers": "[seqkit.nn.LSTM]"}, "own.layers is"),
        (
            {"cost": {"step": SIZE}},
            "own.cost.step names the class 'seqkit.nn.LSTM', but no class is expected there",
        ),
        ({"cost": {"evil": 1}}, "Cost has no argument 'evil'"),
        ({"activation": "torch.tanh"}, "own.activation is 'torch.tanh'"),
        ({"activation": "{class_path: torch.nn.ReLU}"}, "own.activation is"),
        ({"callback": "relu"}, "own.callback is 'relu'"),
        ({"device": "evil.LSTM"}, "own.device is 'evil.LSTM'"),
        ({"kind": "evil.LSTM"}, "own.kind is 'evil.LSTM'"),
        ({"anything": SIZE}, "no class is expected there"),
        ({"anything": {"a": [SIZE]}}, r"own.anything.a\[0\] names the class"),
        ({"anything": "{class_path: os.system}"}, "own.anything is"),
        ({"anything": '{"class\\x5fpath": os.system}'}, "own.anything is"),
        ({"encoder.class_path": "evil.LSTM"}, "Own has no argument 'encoder.class_path'"),
    ],
)
def test_what_does_not_belong_there(arguments, message):
    with pytest.raises(ValueError, match=message):
        check(**arguments)


def test_a_text_that_is_the_name_of_a_file(tmp_path, monkeypatch):
    """The parser of the command line would read it as a config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tanh").write_text("class_path: evil.LSTM")
    with pytest.raises(ValueError, match=r"own\.activation is 'tanh'"):
        check(activation="tanh")


def test_parts_are_built():
    linear = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 1, "out_features": 2}}
    arguments = {"encoder": SIZE, "module": linear, "cost": {"step": 2.0}, "pair": [1.0, 2.0]}
    built = build_arguments(Own, arguments, trust=(), place="own")
    assert isinstance(built["encoder"], partial)
    assert (built["encoder"].func, built["encoder"].keywords) == (LSTM, {"hidden_size": 2})
    assert isinstance(built["module"], nn.Linear)
    assert (built["cost"], built["pair"]) == (Cost(2.0), (1.0, 2.0))


def test_nothing_is_built_before_all_is_checked(monkeypatch):
    monkeypatch.setattr(nn.Linear, "__init__", lambda *_, **__: pytest.fail("built"))
    arguments = {"module": {"class_path": "torch.nn.Linear", "init_args": {}}, "evil": 1}
    with pytest.raises(ValueError, match="Own has no argument 'evil'"):
        build_arguments(Own, arguments, trust=(), place="own")
