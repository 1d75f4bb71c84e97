"""`LSTM`, `GRU` and `RNN`: torch's modules, with packed data at full speed on a CPU."""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from seqkit import kernels
from seqkit.nn.rnn.options import RecurrentExtras, Skip
from seqkit.packed import PackedLayout

__all__ = ["GRU", "LSTM", "RNN"]

State = Tensor | tuple[Tensor, Tensor]


class _Recurrent(RecurrentExtras):
    """The forward that the three share; weights, initialisation and checks are those of `torch.nn.RNNBase`.

    They are no subclasses of `torch.nn.LSTM`, `GRU` and `RNN`, because `torch.compile` refuses to trace those.

    Attributes:
        output_size: Features of the output, (proj_size or hidden_size) × number of directions.
        backend: Which implementation runs (see `seqkit.kernels`); None leaves the choice open.
    """

    backend: kernels.Backend | None = None

    @property
    def output_size(self) -> int:
        """Features of the output, (proj_size or hidden_size) × number of directions."""
        return (self.proj_size or self.hidden_size) * (2 if self.bidirectional else 1)

    def _run(self, values: PackedSequence | Tensor, hx: State | None) -> Any:
        if isinstance(values, PackedSequence):
            return self._run_packed(values, hx)
        if values.dim() not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {values.dim()}D instead")
        batched = values.dim() == 3
        if not batched:
            values = values.unsqueeze(0 if self.batch_first else 1)
        if hx is not None:
            hx = _each(hx, lambda s: _batched(s, batched))
        state = self._state(values, values.size(0 if self.batch_first else 1), hx)
        self.check_forward_args(values, cast(Any, state), None)
        if self.batch_first:
            values = values.transpose(0, 1)
        length, sequences = values.shape[:2]
        sizes = torch.full((length if sequences else 0,), sequences, dtype=torch.int64)
        output, state = self._layers(
            values.reshape(-1, values.size(2)), PackedLayout(sizes, length * sequences), state
        )
        output = output.view(length, sequences, self.output_size)
        if self.batch_first:
            output = output.transpose(0, 1)
        if batched:
            return output, state
        return output.squeeze(0 if self.batch_first else 1), _each(state, lambda s: s.squeeze(1))

    def _run_packed(self, packed: PackedSequence, hx: State | None) -> tuple[PackedSequence, State]:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        self.check_input(data, batch_sizes)
        state: State | None = None
        if hx is not None:
            state = _permuted(hx, sorted_indices)
            if not torch.compiler.is_compiling() and len(batch_sizes):  # in a graph, the operator checks
                self.check_forward_args(data, cast(Any, state), batch_sizes)
        elif (
            unsorted_indices is not None
        ):  # else the batch sizes know, but a compiled graph must not look into them
            state = self._state(data, unsorted_indices.size(0), None)
        output, state = self._layers(data, PackedLayout.of(packed), state)
        return PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices), _permuted(
            state, unsorted_indices
        )

    def _state(self, values: Tensor, sequences: int, hx: State | None) -> State:
        if hx is not None:
            return hx
        layers = self.num_layers * (2 if self.bidirectional else 1)
        dtype = cast(Tensor, self.weight_ih_l0).dtype
        hidden = values.new_zeros(layers, sequences, self.proj_size or self.hidden_size, dtype=dtype)
        if self.mode != "LSTM":
            return hidden
        return hidden, values.new_zeros(layers, sequences, self.hidden_size, dtype=dtype)

    def _layers(self, data: Tensor, layout: PackedLayout, state: State | None) -> tuple[Tensor, State]:
        directions = 2 if self.bidirectional else 1
        states = state if isinstance(state, tuple) or state is None else (state,)
        names = self._flat_weights_names  # by name: parametrizations and functional_call replace the weights
        per_layer = len(names) // self.num_layers
        finals: list[tuple[Tensor, ...]] = []
        for k in range(self.num_layers):
            initial: list[Tensor] | None = None
            if states is not None:
                initial = [s[k * directions : (k + 1) * directions] for s in states]
            elif k > 0:
                initial = [torch.zeros_like(f) for f in finals[0]]
            output, final = kernels.layer(
                cast(kernels.Mode, self.mode),
                self._drop_input(data, layout, k),
                layout,
                initial,
                self._drop_weights(names[k * per_layer : (k + 1) * per_layer]),
                self._extras(data, layout, k),
                backend=self.backend,
            )
            data = self._join(data, output, k)
            finals.append(final)
        joined = [f[0] if self.num_layers == 1 else torch.cat(f) for f in zip(*finals, strict=True)]
        return data, ((joined[0], joined[1]) if self.mode == "LSTM" else joined[0])


class LSTM(_Recurrent):
    """`torch.nn.LSTM`: the same arguments, weights, state dict and returns; packed data at full speed.

    Args:
        input_size: I, features of a token.
        hidden_size: H, units of a direction.
        num_layers: Stacked layers.
        bias: Whether the gates have biases.
        batch_first: Padded tensors are (B, T, ·) instead of (T, B, ·). Packed data has no such order.
        dropout: Probability, on the output of each layer but the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        proj_size: Size of a projection of the hidden state; 0 for none.
        device: Of the weights.
        dtype: Of the weights.
        input_dropout: Probability, on the features of the input, one mask for all tokens of a sequence (locked or
            variational dropout, Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287).
        locked_dropout: The same on the output of each layer but the last; `dropout` draws for every token.
        recurrent_dropout: The same on the hidden state where it enters the gates.
        weight_dropout: Probability, on the hidden-to-hidden weights, once a batch (DropConnect, as in AWD-LSTM:
            Merity et al. 2018, https://arxiv.org/abs/1708.02182).
        zoneout: Probability that a unit of the hidden state keeps its value of the step before; in evaluation the
            expectation (Krueger et al. 2017, https://arxiv.org/abs/1606.01305).
        cell_zoneout: The same for the cell state.
        layer_norm: Layer normalisation in the cell (Ba et al. 2016, https://arxiv.org/abs/1607.06450): of the input
            product and of the recurrent product of all gates, each with a gain, and of the cell state on its way
            to the output.
        skip: How each layer but the first is joined with its input x: ``"residual"`` gives x + y, ``"highway"``
            t · y + (1 - t) · x with t = σ(W x + b) (Srivastava et al. 2015, https://arxiv.org/abs/1505.00387).

    Raises:
        ValueError: A probability is none, or an option between layers meets a single layer.
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
        input_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        cell_zoneout: float = 0.0,
        layer_norm: bool = False,
        skip: Skip | None = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            proj_size=proj_size,
            device=device,
            dtype=dtype,
        )
        self._set(
            input_dropout=input_dropout,
            locked_dropout=locked_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            cell_zoneout=cell_zoneout,
            layer_norm=layer_norm,
            skip=skip,
        )

    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]
    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Runs all layers.

        Args:
            input: Packed, data (N, I); or padded (T, B, I); or one sequence (T, I).
            hx: h_0 (layers × directions, B, proj_size or H) and c_0 (layers × directions, B, H), in the order
                in which the sequences were given to the packing function; zeros if None.

        Returns:
            The output in the form of `input`, features (proj_size or H) × directions, and (h_n, c_n).
        """
        if self.is_plain and _is_cuda(input):
            return nn.LSTM.forward(cast(nn.LSTM, self), input, hx)
        return self._run(input, hx)  # type: ignore[no-any-return]


class GRU(_Recurrent):
    """`torch.nn.GRU`: the same arguments, weights, state dict and returns; packed data at full speed.

    Args:
        input_size: I, features of a token.
        hidden_size: H, units of a direction.
        num_layers: Stacked layers.
        bias: Whether the gates have biases.
        batch_first: Padded tensors are (B, T, ·) instead of (T, B, ·). Packed data has no such order.
        dropout: Probability, on the output of each layer but the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        device: Of the weights.
        dtype: Of the weights.
        input_dropout: Probability, on the features of the input, one mask for all tokens of a sequence (locked or
            variational dropout, Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287).
        locked_dropout: The same on the output of each layer but the last; `dropout` draws for every token.
        recurrent_dropout: The same on the hidden state where it enters the gates.
        weight_dropout: Probability, on the hidden-to-hidden weights, once a batch (DropConnect, as in AWD-LSTM:
            Merity et al. 2018, https://arxiv.org/abs/1708.02182).
        zoneout: Probability that a unit of the hidden state keeps its value of the step before; in evaluation the
            expectation (Krueger et al. 2017, https://arxiv.org/abs/1606.01305).
        layer_norm: Layer normalisation in the cell (Ba et al. 2016, https://arxiv.org/abs/1607.06450): of the input
            product and of the recurrent product of all gates, each with a gain.
        skip: How each layer but the first is joined with its input x: ``"residual"`` gives x + y, ``"highway"``
            t · y + (1 - t) · x with t = σ(W x + b) (Srivastava et al. 2015, https://arxiv.org/abs/1505.00387).

    Raises:
        ValueError: A probability is none, or an option between layers meets a single layer.
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
        *,
        input_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        skip: Skip | None = None,
    ) -> None:
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self._set(
            input_dropout=input_dropout,
            locked_dropout=locked_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
            skip=skip,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Runs all layers.

        Args:
            input: Packed, data (N, I); or padded (T, B, I); or one sequence (T, I).
            hx: h_0 (layers × directions, B, H), in the order in which the sequences were given to the packing
                function; zeros if None.

        Returns:
            The output in the form of `input`, features H × directions, and the final h_n.
        """
        if self.is_plain and _is_cuda(input):
            return nn.GRU.forward(cast(nn.GRU, self), input, hx)
        return self._run(input, hx)  # type: ignore[no-any-return]


class RNN(_Recurrent):
    """`torch.nn.RNN`: the same arguments, weights, state dict and returns; packed data at full speed.

    Args:
        input_size: I, features of a token.
        hidden_size: H, units of a direction.
        num_layers: Stacked layers.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: Whether the units have biases.
        batch_first: Padded tensors are (B, T, ·) instead of (T, B, ·). Packed data has no such order.
        dropout: Probability, on the output of each layer but the last.
        bidirectional: Whether a second direction reads from the last token to the first.
        device: Of the weights.
        dtype: Of the weights.
        input_dropout: Probability, on the features of the input, one mask for all tokens of a sequence (locked or
            variational dropout, Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287).
        locked_dropout: The same on the output of each layer but the last; `dropout` draws for every token.
        recurrent_dropout: The same on the hidden state where it enters the gates.
        weight_dropout: Probability, on the hidden-to-hidden weights, once a batch (DropConnect, as in AWD-LSTM:
            Merity et al. 2018, https://arxiv.org/abs/1708.02182).
        zoneout: Probability that a unit of the hidden state keeps its value of the step before; in evaluation the
            expectation (Krueger et al. 2017, https://arxiv.org/abs/1606.01305).
        layer_norm: Layer normalisation in the cell (Ba et al. 2016, https://arxiv.org/abs/1607.06450): of the input
            product and of the recurrent product of all gates, each with a gain.
        skip: How each layer but the first is joined with its input x: ``"residual"`` gives x + y, ``"highway"``
            t · y + (1 - t) · x with t = σ(W x + b) (Srivastava et al. 2015, https://arxiv.org/abs/1505.00387).

    Raises:
        ValueError: A probability is none, or an option between layers meets a single layer.
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
        *,
        input_dropout: float = 0.0,
        locked_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        skip: Skip | None = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity is {nonlinearity!r}; it is 'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers=num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            device=device,
            dtype=dtype,
        )
        self._set(
            input_dropout=input_dropout,
            locked_dropout=locked_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
            skip=skip,
        )

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """Runs all layers.

        Args:
            input: Packed, data (N, I); or padded (T, B, I); or one sequence (T, I).
            hx: h_0 (layers × directions, B, H), in the order in which the sequences were given to the packing
                function; zeros if None.

        Returns:
            The output in the form of `input`, features H × directions, and the final h_n.
        """
        if self.is_plain and _is_cuda(input):
            return nn.RNN.forward(cast(nn.RNN, self), input, hx)
        return self._run(input, hx)  # type: ignore[no-any-return]


def _is_cuda(input: PackedSequence | Tensor) -> bool:
    """Whether torch's own (cuDNN) runs; it refuses data without a token."""
    data = input.data if isinstance(input, PackedSequence) else input
    return data.is_cuda and data.numel() > 0


def _each(state: State, function: Any) -> Any:
    return tuple(function(s) for s in state) if isinstance(state, tuple) else function(state)


def _permuted(state: State, order: Tensor | None) -> State:
    return state if order is None else cast(State, _each(state, lambda s: s.index_select(1, order)))


def _batched(state: Tensor, batched: bool) -> Tensor:
    if state.dim() != (3 if batched else 2):
        kind, dims = ("batched 3-D", "3-D") if batched else ("unbatched 2-D", "2-D")
        raise RuntimeError(f"For {kind} input, hx should also be {dims} but got {state.dim()}-D tensor")
    return state if batched else state.unsqueeze(1)
