import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.optim.lr_scheduler import ReduceLROnPlateau

import seqkit.nn
from seqkit.upstream.torch import change_class, set_plateau_mode, stock_forward

CHANGED = f"torch {torch.__version__} differs from 2.13: adapt seqkit.upstream.torch.{{}}"


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_change_class(name):
    stock, ours = getattr(nn, name), getattr(seqkit.nn, name)
    module, made = stock(3, 4), ours(3, 4)
    attributes = CHANGED.format(f"change_class (torch.nn.{name} and seqkit.nn.{name} have different attributes)")
    assert vars(module).keys() == {key for key in vars(made) if not hasattr(ours, key)}, attributes
    change_class(module, ours)
    assert type(module) is ours, CHANGED.format("change_class (modules refuse another class)")


@pytest.mark.parametrize(("mode", "values"), [("min", (0.9, 0.5)), ("max", (0.5, 0.9))])
def test_set_plateau_mode(mode, values):
    scheduler = ReduceLROnPlateau(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), patience=0)
    set_plateau_mode(scheduler, mode)
    expected = ReduceLROnPlateau(scheduler.optimizer, mode, patience=0).state_dict()
    assert scheduler.state_dict() == expected, CHANGED.format("set_plateau_mode (the state dict has other keys)")
    for value in values:
        scheduler.step(value)
    assert scheduler.best == values[-1], CHANGED.format("set_plateau_mode (load_state_dict ignores the mode)")
    scheduler.step(math.inf if mode == "min" else -math.inf)
    assert scheduler.optimizer.param_groups[0]["lr"] == 0.1, CHANGED.format("set_plateau_mode")


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("values", [torch.randn(4, 2, 3), torch.randn(4, 3), pack_sequence([torch.randn(4, 3)])])
def test_stock_forward(name, values):
    torch.manual_seed(0)
    stock = getattr(nn, name)(3, 5, num_layers=2, bidirectional=True)
    ours = getattr(seqkit.nn, name)(3, 5, num_layers=2, bidirectional=True)
    ours.load_state_dict(stock.state_dict())
    output, state = stock(values)
    found, found_state = stock_forward(ours, values, None)
    changed = CHANGED.format("stock_forward (torch's forward needs other methods of the module)")
    assert torch.equal(found[0], output[0]), changed
    stock_forward(ours, values, state)  # permutes and checks the given state, too
    assert all(map(torch.equal, found_state, state)), changed
