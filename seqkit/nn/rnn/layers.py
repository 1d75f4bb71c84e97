"""`LSTM`, `GRU` and `RNN`: counterparts of torch's modules, faster on packed data and with more options."""

from typing import Literal, Unpack

import torch

from seqkit.nn.rnn.base import RecurrentBase
from seqkit.nn.rnn.options import RecurrentOptions, show_options


@show_options
class LSTM(RecurrentBase):
    """Compute the same as `torch.nn.LSTM`, with the same arguments and state dict, faster on packed data.

    Args:
        input_size: I, number of features of a token.
        hidden_size: H, number of hidden units of a direction.
        num_layers: Number of stacked layers.
        bias: Whether the gates have biases.
        batch_first: Whether padded tensors are (B, T, ·) instead of (T, B, ·); no effect on packed data.
        dropout: Dropout probability of the output of each layer except the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        proj_size: Size of a projection of the hidden state; 0 for none.
        device: Device of the weights.
        dtype: Dtype of the weights.
        cell_zoneout: The same as ``zoneout`` for the cell state.
        **options: See `seqkit.nn.RecurrentOptions`.

    Raises:
        ValueError: An option is out of its range, or acts between layers but there is only one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        cell_zoneout: float = 0.0,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        sizes = input_size, hidden_size, num_layers
        super().__init__("LSTM", *sizes, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        self._set_options(options, cell_zoneout)


@show_options
class GRU(RecurrentBase):
    """Compute the same as `torch.nn.GRU`, with the same arguments and state dict, faster on packed data.

    Args:
        input_size: I, number of features of a token.
        hidden_size: H, number of hidden units of a direction.
        num_layers: Number of stacked layers.
        bias: Whether the gates have biases.
        batch_first: Whether padded tensors are (B, T, ·) instead of (T, B, ·); no effect on packed data.
        dropout: Dropout probability of the output of each layer except the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        device: Device of the weights.
        dtype: Dtype of the weights.
        **options: See `seqkit.nn.RecurrentOptions`.

    Raises:
        ValueError: An option is out of its range, or acts between layers but there is only one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        sizes = input_size, hidden_size, num_layers
        super().__init__("GRU", *sizes, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        self._set_options(options)


@show_options
class RNN(RecurrentBase):
    """Compute the same as `torch.nn.RNN`, with the same arguments and state dict, faster on packed data.

    Args:
        input_size: I, number of features of a token.
        hidden_size: H, number of hidden units of a direction.
        num_layers: Number of stacked layers.
        nonlinearity: The activation, ``"tanh"`` or ``"relu"``.
        bias: Whether the units have biases.
        batch_first: Whether padded tensors are (B, T, ·) instead of (T, B, ·); no effect on packed data.
        dropout: Dropout probability of the output of each layer except the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        device: Device of the weights.
        dtype: Dtype of the weights.
        **options: See `seqkit.nn.RecurrentOptions`.

    Raises:
        ValueError: ``nonlinearity`` is unknown; an option is out of its range, or acts between layers but there is
            only one.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is {nonlinearity!r}; give 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        mode, sizes = f"RNN_{nonlinearity.upper()}", (input_size, hidden_size, num_layers)
        super().__init__(mode, *sizes, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        self._set_options(options)
