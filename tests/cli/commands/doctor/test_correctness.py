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


def test_full_precision_on_a_gpu(monkeypatch):
    allowed = []

    class Spy(nn.RNN):
        def forward(self, *arguments):
            allowed.append(torch.backends.cudnn.allow_tf32)
            return super().forward(*arguments)

    monkeypatch.setattr(nn, "RNN", Spy)
    before = torch.backends.cudnn.allow_tf32
    largest_differences(torch.device("cpu"))
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32 == before
