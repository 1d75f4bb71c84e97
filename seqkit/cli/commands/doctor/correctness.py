"""Compare the recurrent layers with those of torch, each sequence alone, in float64 on the CPU."""

import torch
from torch import Tensor

from seqkit import nn, packed

LENGTHS = (40, 17, 5, 5, 1)
FEATURES, UNITS, LAYERS = 24, 33, 2
CELLS = ("LSTM", "GRU", "RNN")


def largest_differences(device: torch.device) -> dict[str, float]:
    """Run two layers of both directions on sequences of several lengths, forwards and backwards.

    Args:
        device: Where seqkit's layers run, in float32.

    Returns:
        By cell, the largest difference of outputs and of gradients of inputs and weights, each relative to the
        largest value of its tensor.
    """
    generator = torch.Generator().manual_seed(0)
    sequences = [torch.randn(length, FEATURES, generator=generator) for length in LENGTHS]
    return {cell: _largest_difference(cell, sequences, device) for cell in CELLS}


def _largest_difference(cell: str, sequences: list[Tensor], device: torch.device) -> float:
    options = {"input_size": FEATURES, "hidden_size": UNITS, "num_layers": LAYERS, "bidirectional": True}
    generator = torch.Generator().manual_seed(0)
    expected = getattr(torch.nn, cell)(**options).double()
    with torch.no_grad():
        for weight in expected.parameters():
            weight.uniform_(-(UNITS**-0.5), UNITS**-0.5, generator=generator)
    found = getattr(nn, cell)(**options, device=device)
    found.load_state_dict(expected.state_dict())

    alone = [sequence.double().requires_grad_() for sequence in sequences]
    outputs = [expected(sequence)[0] for sequence in alone]
    torch.autograd.backward([(output**2).sum() for output in outputs])

    together = [torch.asarray(sequence, device=device).detach().requires_grad_() for sequence in sequences]
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # by default, cuDNN rounds factors to 10 bits
        output, _ = found(packed.pack(together))
        torch.autograd.backward((output.data**2).sum())

    pairs = [
        *zip(packed.unpack(output), outputs, strict=True),
        *((a.grad, b.grad) for a, b in zip(together, alone, strict=True)),
        *((a.grad, b.grad) for a, b in zip(found.parameters(), expected.parameters(), strict=True)),
    ]
    return max(_difference(*pair) for pair in pairs)


def _difference(found: Tensor, expected: Tensor) -> float:
    difference, largest = (found.detach().cpu() - expected.detach()).abs().max(), expected.detach().abs().max()
    return float(difference / largest)
