import torch

from seqkit import nn
from seqkit.cli.commands.doctor.correctness import CELLS, largest_differences


def test_small_differences_of_all_cells():
    found = largest_differences(torch.device("cpu"))
    assert list(found) == list(CELLS)
    assert all(0 < difference < 1e-5 for difference in found.values())


def test_a_wrong_layer_is_found(monkeypatch):
    class Wrong(nn.GRU):
        def forward(self, *arguments):
            output, state = super().forward(*arguments)
            return output._replace(data=output.data * 1.01), state

    monkeypatch.setattr(nn, "GRU", Wrong)
    assert largest_differences(torch.device("cpu"))["GRU"] > 1e-3
