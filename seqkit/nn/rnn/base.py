"""The base of `seqkit.nn.LSTM`, `GRU` and `RNN`: options, weights and the forward over all layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from seqkit import kernels
from seqkit.nn.rnn.options import RecurrentOptions, Skip
from seqkit.packed import PackedLayout
from seqkit.upstream.torch import stock_forward

State = Tensor | tuple[Tensor, Tensor]

HIGHWAY_BIAS = -1.0  # at first a layer passes most of its input on, as Srivastava et al. (2015) advise


class RecurrentBase(nn.RNNBase):
    """Base of the recurrent modules; weights, initialisation and checks are those of `torch.nn.RNNBase`.

    The modules do not inherit from `torch.nn.LSTM`, `GRU` and `RNN`, because `torch.compile` does not trace those.
    The options are class attributes, so that a module of torch becomes one of ours when its class changes.

    Attributes:
        backend: The implementation to run (see `seqkit.kernels`); None chooses the fastest one.
    """

    backend: kernels.Backend | None = None
    input_dropout = locked_dropout = recurrent_dropout = weight_dropout = zoneout = cell_zoneout = 0.0
    layer_norm = False
    skip: Skip | None = None

    mode: kernels.Mode
    weight_ih_l0: Tensor
    weight_hh_l0: Tensor

    @property
    def output_size(self) -> int:
        """Features of the output, (proj_size or hidden_size) × number of directions."""
        return (self.proj_size or self.hidden_size) * len(self._suffixes)

    @property
    def has_options(self) -> bool:
        """Whether any option is on that torch's module lacks."""
        return any(getattr(self, name) for name in _OPTIONS)

    def extra_repr(self) -> str:
        """Show torch's arguments and the options that are on."""
        options = [f"{name}={getattr(self, name)}" for name in _OPTIONS if getattr(self, name)]
        return ", ".join([super().extra_repr(), *options])

    def reset_parameters(self) -> None:
        """Draw the weights as torch does; set gains to 1, biases of norms to 0, biases of highways below 0."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("gain_"):
                nn.init.ones_(parameter)
            elif name.startswith("offset_"):
                nn.init.zeros_(parameter)
            elif name.startswith("highway_bias_"):
                nn.init.constant_(parameter, HIGHWAY_BIAS)

    def forward(self, input: Any, hx: State | None = None) -> tuple[Any, State]:
        """Run all layers.

        Args:
            input: Packed, data (N, I); or padded (T, B, I); or one sequence (T, I).
            hx: h_0 (layers × directions, B, proj_size or H); for an LSTM (h_0, c_0) with c_0 (layers × directions,
                B, H). The sequences are in the order in which they were packed. None means zeros.

        Returns:
            The output, in the form of ``input``, with (proj_size or H) × directions features; and the final h_n, or
            (h_n, c_n), in the form of ``hx``.

        Raises:
            RuntimeError: The input or the state has the wrong size.
            ValueError: The input has another dtype than the weights, or neither 2 nor 3 dimensions.
        """
        if hx is not None:
            self._check_state_type(hx)
        data = input.data if isinstance(input, PackedSequence) else input
        if data.is_cuda and data.numel() and not self.has_options:  # cuDNN, which refuses data without a token
            return stock_forward(self, input, hx)  # type: ignore[no-any-return]
        return self._run_packed(input, hx) if isinstance(input, PackedSequence) else self._run_padded(input, hx)

    def check_forward_args(self, input: Tensor, hidden: State, batch_sizes: Tensor | None) -> None:
        """Check the input and the state (h_0, or h_0 and c_0), with torch's error messages for sizes."""
        self.check_input(input, batch_sizes)
        kind, weights = input.device.type, self.weight_ih_l0.dtype
        for state in (hidden,) if isinstance(hidden, Tensor) else hidden:
            if state.dtype != weights and not torch.is_autocast_enabled(kind):
                raise RuntimeError(
                    f"{type(self).__name__}: the state is {state.dtype}, but the weights are {weights}; convert "
                    f"one of them"
                )
        size = self.get_expected_hidden_size(input, batch_sizes)
        if isinstance(hidden, Tensor):
            self.check_hidden_size(hidden, size)
        else:
            self.check_hidden_size(hidden[0], size, "Expected hidden[0] size {}, got {}")
            self.check_hidden_size(hidden[1], (*size[:2], self.hidden_size), "Expected hidden[1] size {}, got {}")

    def __prepare_scriptable__(self) -> None:
        """Refuse `torch.jit.script`, which calls this for each part of a model."""
        raise RuntimeError(
            f"torch.jit.script does not support seqkit.nn.{type(self).__name__}; use torch.compile or torch.export"
            ", or put torch's modules in by seqkit.nn.restore_recurrent(model)"
        )

    def _check_state_type(self, hx: Any) -> None:
        """Check that a state is a tensor, or of an LSTM two tensors. The errors have the types of torch's."""
        if self.mode != "LSTM":
            if not isinstance(hx, Tensor):
                raise AttributeError(
                    f"{type(self).__name__}: the state is a {type(hx).__name__}; give a tensor h_0"
                )
        elif not isinstance(hx, tuple | list) or not all(isinstance(s, Tensor) for s in hx):
            raise TypeError(f"{type(self).__name__}: the state is no pair of tensors; give (h_0, c_0)")
        elif len(hx) != 2:
            raise RuntimeError(f"{type(self).__name__}: the state has {len(hx)} tensors; give (h_0, c_0)")

    def permute_hidden(self, hx: State, permutation: Tensor | None) -> State:
        """Reorder the sequences of a state."""
        if permutation is None:
            return hx
        return map_state(hx, lambda s: s.index_select(1, permutation))  # type: ignore[no-any-return]

    def _run_padded(self, padded: Tensor, hx: State | None) -> tuple[Tensor, State]:
        if padded.dim() not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {padded.dim()}D instead")
        is_batched = padded.dim() == 3
        if not is_batched:
            padded = padded.unsqueeze(0 if self.batch_first else 1)
        if hx is None:
            hx = self._zero_state(padded, padded.size(0 if self.batch_first else 1))
        else:
            hx = map_state(hx, lambda s: _batched_state(s, is_batched))
        self.check_forward_args(padded, hx, None)
        if self.batch_first:
            padded = padded.transpose(0, 1)
        length, sequences = padded.shape[:2]
        sizes = torch.full((length if sequences else 0,), sequences, dtype=torch.int64)
        layout = PackedLayout(sizes, length * sequences)
        output, state = self._run_layers(padded.reshape(-1, padded.size(2)), layout, hx)
        output = output.view(length, sequences, self.output_size)
        if self.batch_first:
            output = output.transpose(0, 1)
        if is_batched:
            return output, state
        return output.squeeze(0 if self.batch_first else 1), map_state(state, lambda s: s.squeeze(1))

    def _run_packed(self, packed: PackedSequence, hx: State | None) -> tuple[PackedSequence, State]:
        data, batch_sizes, sorted_indices, unsorted_indices = packed
        self.check_input(data, batch_sizes)
        state: State | None = None
        if hx is not None:
            state = self.permute_hidden(hx, sorted_indices)
            if not torch.compiler.is_compiling() and len(batch_sizes):  # in a graph, the operator checks
                self.check_forward_args(data, state, batch_sizes)
        elif unsorted_indices is not None:
            # Without permutation B is in the batch sizes, which a compiled graph must not read.
            state = self._zero_state(data, unsorted_indices.size(0))
        output, state = self._run_layers(data, PackedLayout.of(packed), state)
        output_packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return output_packed, self.permute_hidden(state, unsorted_indices)

    def _zero_state(self, data: Tensor, sequences: int) -> State:
        layers, dtype = self.num_layers * len(self._suffixes), self.weight_ih_l0.dtype
        hidden = data.new_zeros(layers, sequences, self.proj_size or self.hidden_size, dtype=dtype)
        if self.mode != "LSTM":
            return hidden
        return hidden, data.new_zeros(layers, sequences, self.hidden_size, dtype=dtype)

    def _run_layers(self, data: Tensor, layout: PackedLayout, state: State | None) -> tuple[Tensor, State]:
        directions = len(self._suffixes)
        states = (state,) if isinstance(state, Tensor) else state
        finals: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            initial: list[Tensor] | None = None
            if states is not None:
                initial = [s[layer * directions : (layer + 1) * directions] for s in states]
            elif layer > 0:
                initial = [torch.zeros_like(f) for f in finals[0]]
            output, final = kernels.layer(
                self.mode,
                self._dropped_input(data, layout, layer),
                layout,
                initial,
                self._weights(layer),
                self._extras(data, layout, layer),
                backend=self.backend,
            )
            data = self._connected(data, output, layer)
            finals.append(final)
        joined = [f[0] if self.num_layers == 1 else torch.cat(f) for f in zip(*finals, strict=True)]
        return data, ((joined[0], joined[1]) if self.mode == "LSTM" else joined[0])

    def _set_options(self, options: RecurrentOptions, cell_zoneout: float = 0.0) -> None:
        """Check the options, keep them as attributes and create their weights."""
        unknown = sorted(options.keys() - RecurrentOptions.__annotations__.keys())
        if "proj_size" in unknown:
            raise ValueError(f"{type(self).__name__}: proj_size is for LSTM only; leave it out")
        if unknown:
            raise TypeError(f"{type(self).__name__}: unexpected keyword argument {unknown[0]!r}")
        values: dict[str, Any] = {**options, "cell_zoneout": cell_zoneout}
        for name, value in values.items():
            if isinstance(getattr(type(self), name), float) and not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; give a probability in [0, 1)")
            setattr(self, name, value)
        if self.skip not in (None, "residual", "highway"):
            raise ValueError(f"skip is {self.skip!r}; give 'residual', 'highway' or None")
        if self.num_layers == 1:
            for name, remedy in (
                ("locked_dropout", "apply seqkit.nn.LockedDropout to the output"),
                ("skip", "give num_layers=2 or more"),
            ):
                if value := getattr(self, name):
                    raise ValueError(f"{name}={value!r} acts between layers, but num_layers is 1; {remedy}")
        sizes = self._option_weight_sizes()
        for name, size in sizes.items():
            self.register_parameter(name, nn.Parameter(self.weight_ih_l0.new_empty(size)))
        if sizes:
            self.reset_parameters()

    def _option_weight_sizes(self) -> dict[str, tuple[int, ...]]:
        sizes: dict[str, tuple[int, ...]] = {}
        if self.layer_norm:
            gates = self.weight_ih_l0.size(0)
            for layer in range(self.num_layers):
                for suffix in self._suffixes:
                    sizes |= {f"gain_ih_l{layer}{suffix}": (gates,), f"gain_hh_l{layer}{suffix}": (gates,)}
                    if self.mode == "LSTM":
                        cell = f"cell_l{layer}{suffix}"
                        sizes |= {f"gain_{cell}": (self.hidden_size,), f"offset_{cell}": (self.hidden_size,)}
        if self.skip == "highway":
            for layer in range(1, self.num_layers):
                sizes[f"highway_weight_l{layer}"] = (self.output_size, self.output_size)
                sizes[f"highway_bias_l{layer}"] = (self.output_size,)
        return sizes

    @property
    def _suffixes(self) -> tuple[str, ...]:
        """The suffixes of the names of weights, one for each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _weights(self, layer: int) -> list[Tensor]:
        """Get a layer's weights in the order of `torch.nn.RNNBase.all_weights`, in training after weight dropout.

        By name, because parametrizations and `torch.func.functional_call` replace the weights.
        """
        kinds = ["weight_ih", "weight_hh"]
        if self.bias:
            kinds += ["bias_ih", "bias_hh"]
        if self.proj_size:
            kinds += ["weight_hr"]
        weights = []
        for suffix in self._suffixes:
            for kind in kinds:
                weight: Tensor = getattr(self, f"{kind}_l{layer}{suffix}")
                if kind == "weight_hh" and self.training and self.weight_dropout > 0:
                    weight = F.dropout(weight, self.weight_dropout)
                weights.append(weight)
        return weights

    def _dropped_input(self, data: Tensor, layout: PackedLayout, layer: int) -> Tensor:
        """Apply dropout to the input (N, ·) of a layer, with masks per token and masks per sequence."""
        if not self.training:
            return data
        if layer > 0 and self.dropout > 0:
            data = F.dropout(data, self.dropout)
        locked = self.locked_dropout if layer > 0 else self.input_dropout
        if locked > 0:
            mask = F.dropout(data.new_ones(_max_sequences(data, layout), data.size(1)), locked)
            data = data * mask.index_select(0, layout.on(data.device).ranks)
        return data

    def _extras(self, data: Tensor, layout: PackedLayout, layer: int) -> kernels.Extras:
        """Collect what the options add to a layer; draws new masks."""
        directions, size, like = len(self._suffixes), self.proj_size or self.hidden_size, self.weight_hh_l0
        extras = kernels.Extras()
        if self.training and self.recurrent_dropout > 0:
            ones = like.new_ones(directions, _max_sequences(data, layout), size)
            extras = extras._replace(hidden_mask=F.dropout(ones, self.recurrent_dropout))
        for name, probability, width in (
            ("keep_hidden", self.zoneout, size),
            ("keep_cell", self.cell_zoneout, self.hidden_size),
        ):
            if probability > 0:
                keep = like.new_full((directions, data.size(0), width), probability)
                extras = extras._replace(**{name: keep.bernoulli() if self.training else keep})
        if self.layer_norm:

            def stacked(name: str) -> Tensor:
                return torch.stack([getattr(self, f"{name}_l{layer}{suffix}") for suffix in self._suffixes])

            extras = extras._replace(input_gain=stacked("gain_ih"), hidden_gain=stacked("gain_hh"))
            if self.mode == "LSTM":
                extras = extras._replace(cell_gain=stacked("gain_cell"), cell_bias=stacked("offset_cell"))
        return extras

    def _connected(self, below: Tensor, output: Tensor, layer: int) -> Tensor:
        """Apply the skip connection from the input of a layer (N, D·P) to its output."""
        if self.skip is None or layer == 0:
            return output
        if self.skip == "residual":
            return below + output
        weight, bias = getattr(self, f"highway_weight_l{layer}"), getattr(self, f"highway_bias_l{layer}")
        return torch.lerp(below, output, F.linear(below, weight, bias).sigmoid())


_OPTIONS = (*RecurrentOptions.__annotations__, "cell_zoneout")


def map_state(state: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to each tensor of a recurrent state: a tensor, or nested tuples of tensors."""
    if isinstance(state, Tensor):
        return function(state)
    return tuple(map_state(part, function) for part in state)


def _batched_state(state: Tensor, is_batched: bool) -> Tensor:
    if state.dim() != (3 if is_batched else 2):
        kind, dims = ("batched 3-D", "3-D") if is_batched else ("unbatched 2-D", "2-D")
        raise RuntimeError(f"For {kind} input, hx should also be {dims} but got {state.dim()}-D tensor")
    return state if is_batched else state.unsqueeze(1)


def _max_sequences(data: Tensor, layout: PackedLayout) -> int:
    """B, or an upper bound in a compiled graph, which must not read the batch sizes."""
    if torch.compiler.is_compiling():
        return data.size(0)
    return layout.num_sequences
