"""What `seqkit.nn.LSTM`, `GRU` and `RNN` do that torch's do not: its checks, its weights and its draws."""

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqkit import kernels
from seqkit.packed import PackedLayout

Skip = Literal["residual", "highway"]

PROBABILITIES = (
    "input_dropout",
    "locked_dropout",
    "recurrent_dropout",
    "weight_dropout",
    "zoneout",
    "cell_zoneout",
)
HIGHWAY_BIAS = -1.0  # the layers start by carrying their input on, as Srivastava et al. (2015) advise


class RecurrentExtras(nn.RNNBase):
    """The options, all off by default, so that a module of torch's can become one of ours in place."""

    input_dropout: float = 0.0
    locked_dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout: float = 0.0
    cell_zoneout: float = 0.0
    layer_norm: bool = False
    skip: Skip | None = None

    @property
    def is_plain(self) -> bool:
        """Whether torch's module does the same."""
        return not (self.layer_norm or self.skip or any(getattr(self, name) for name in PROBABILITIES))

    def extra_repr(self) -> str:
        """Torch's arguments, then ours where they are not the default."""
        ours = [f"{n}={getattr(self, n)}" for n in (*PROBABILITIES, "layer_norm", "skip") if getattr(self, n)]
        return ", ".join([super().extra_repr(), *ours])

    def reset_parameters(self) -> None:
        """Draws the weights as torch does; gains are one, biases of norms zero, of highways negative."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("gain_"):
                nn.init.ones_(parameter)
            elif name.startswith("offset_"):
                nn.init.zeros_(parameter)
            elif name.startswith("highway_bias_"):
                nn.init.constant_(parameter, HIGHWAY_BIAS)

    def _set(self, **options: Any) -> None:
        """Checks the options and makes their weights."""
        for name in PROBABILITIES:
            p = options.get(name, 0.0)
            if not 0 <= p < 1:
                raise ValueError(f"{name} is {p}, but it is a probability below 1")
        if self.num_layers == 1:
            for name, remedy in (
                ("locked_dropout", "for the output take seqkit.nn.LockedDropout"),
                ("skip", "take more layers"),
            ):
                if options[name]:
                    raise ValueError(
                        f"{name} is {options[name]}, which is between layers, of a single one; {remedy}"
                    )
        if options["skip"] not in (None, "residual", "highway"):
            raise ValueError(f"skip is {options['skip']!r}; it is 'residual', 'highway' or None")
        for name, value in options.items():
            setattr(self, name, value)
        like, outputs = (
            cast(Tensor, self.weight_ih_l0),
            (self.proj_size or self.hidden_size) * (1 + self.bidirectional),
        )
        sizes: dict[str, tuple[int, ...]] = {}
        if self.layer_norm:
            height = like.size(0)
            for k in range(self.num_layers):
                for suffix in ("", "_reverse")[: 1 + self.bidirectional]:
                    sizes |= {f"gain_ih_l{k}{suffix}": (height,), f"gain_hh_l{k}{suffix}": (height,)}
                    if self.mode == "LSTM":
                        sizes |= {f"{name}_cell_l{k}{suffix}": (self.hidden_size,) for name in ("gain", "offset")}
        if self.skip == "highway":
            for k in range(1, self.num_layers):
                sizes |= {f"highway_weight_l{k}": (outputs, outputs), f"highway_bias_l{k}": (outputs,)}
        for name, size in sizes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(size, dtype=like.dtype, device=like.device)))
        if sizes:
            self.reset_parameters()

    def _drop_input(self, data: Tensor, layout: PackedLayout, layer: int) -> Tensor:
        """What a layer reads: its input (N, ·) under dropout, drawn for each token and for each sequence."""
        if not self.training:
            return data
        if layer > 0 and self.dropout > 0:
            data = F.dropout(data, self.dropout)
        locked = self.locked_dropout if layer > 0 else self.input_dropout
        if locked > 0:
            mask = F.dropout(data.new_ones(_sequences(data, layout), data.size(1)), locked)
            data = data * mask.index_select(0, layout.on(data.device).ranks)
        return data

    def _drop_weights(self, names: list[str]) -> list[Tensor]:
        """A layer's weights, in training with dropout on those of the recurrent product."""
        p = self.weight_dropout if self.training else 0.0
        weights: list[Tensor] = [getattr(self, name) for name in names]
        return [
            F.dropout(weight, p) if p > 0 and name.startswith("weight_hh") else weight
            for name, weight in zip(names, weights, strict=True)
        ]

    def _extras(self, data: Tensor, layout: PackedLayout, layer: int) -> kernels.Extras:
        """What a layer does besides; masks and shares are drawn anew."""
        directions, size = 1 + self.bidirectional, self.proj_size or self.hidden_size
        extras, like = kernels.Extras(), cast(Tensor, self.weight_hh_l0)
        if self.training and self.recurrent_dropout > 0:
            ones = like.new_ones(directions, _sequences(data, layout), size)
            extras = extras._replace(hidden_mask=F.dropout(ones, self.recurrent_dropout))
        for name, share, width in (
            ("keep_hidden", self.zoneout, size),
            ("keep_cell", self.cell_zoneout, self.hidden_size),
        ):
            if share > 0:
                keep = like.new_full((directions, data.size(0), width), share)
                extras = extras._replace(**{name: keep.bernoulli() if self.training else keep})
        if self.layer_norm:
            suffixes = ("", "_reverse")[:directions]

            def stacked(name: str) -> Tensor:
                return torch.stack([getattr(self, f"{name}_l{layer}{suffix}") for suffix in suffixes])

            extras = extras._replace(input_gain=stacked("gain_ih"), hidden_gain=stacked("gain_hh"))
            if self.mode == "LSTM":
                extras = extras._replace(cell_gain=stacked("gain_cell"), cell_bias=stacked("offset_cell"))
        return extras

    def _join(self, below: Tensor, output: Tensor, layer: int) -> Tensor:
        """A layer's output with its input (N, D·P), from the second layer on."""
        if self.skip is None or layer == 0:
            return output
        if self.skip == "residual":
            return below + output
        weight, bias = getattr(self, f"highway_weight_l{layer}"), getattr(self, f"highway_bias_l{layer}")
        return torch.lerp(below, output, F.linear(below, weight, bias).sigmoid())


def _sequences(data: Tensor, layout: PackedLayout) -> int:
    """B, or an upper bound in a compiled graph, which must not look into the batch sizes."""
    if torch.compiler.is_compiling():
        return data.size(0)
    return layout.num_sequences
