"""The options of `seqkit.nn.LSTM`, `GRU` and `RNN` that torch's modules lack."""

import inspect
import re
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

Skip = Literal["residual", "highway"]
Class = TypeVar("Class", bound=type)


class RecurrentOptions(TypedDict, total=False):
    """Keyword arguments of `LSTM`, `GRU` and `RNN` that torch's modules lack; all are off by default.

    Attributes:
        input_dropout: Dropout probability of the features of the input, with one mask for all tokens of a sequence
            (locked or variational dropout, Gal and Ghahramani 2016, https://arxiv.org/abs/1512.05287).
        locked_dropout: The same for the output of each layer except the last; ``dropout`` draws one mask per token.
        recurrent_dropout: The same for the hidden state where it enters the gates.
        weight_dropout: Dropout probability of the hidden-to-hidden weights, drawn once per batch (DropConnect, as
            in AWD-LSTM: Merity et al. 2018, https://arxiv.org/abs/1708.02182).
        zoneout: Probability that a unit of the hidden state keeps the value of the previous step; evaluation takes
            the expectation (Krueger et al. 2017, https://arxiv.org/abs/1606.01305).
        layer_norm: Layer normalisation of the input product and of the recurrent product of all gates, each with a
            gain; in an LSTM also of the cell state before the output gate (Ba et al. 2016,
            https://arxiv.org/abs/1607.06450).
        skip: Connection around each layer except the first, from its input x to its output y: ``"residual"`` gives
            x + y, ``"highway"`` gives t · y + (1 - t) · x with t = σ(W x + b) (Srivastava et al. 2015,
            https://arxiv.org/abs/1505.00387).
    """

    input_dropout: float
    locked_dropout: float
    recurrent_dropout: float
    weight_dropout: float
    zoneout: float
    layer_norm: bool
    skip: Skip | None


def show_options(cls: Class) -> Class:
    """List the options of a constructor with ``**options`` in its signature and in the docstring of its class.

    Type checkers and editors find them in ``Unpack[RecurrentOptions]``, but `help`, `inspect.signature` and the
    command line do not.
    """
    constructor: Any = vars(cls)["__init__"]
    signature = inspect.signature(constructor)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(cls, name), annotation=kind)
        for name, kind in get_type_hints(RecurrentOptions).items()
    ]
    constructor.__signature__ = signature.replace(parameters=[*own, *options])
    if cls.__doc__ and RecurrentOptions.__doc__:  # python -OO removes docstrings
        described = inspect.cleandoc(RecurrentOptions.__doc__).partition("Attributes:\n")[2]
        cls.__doc__ = re.sub(r"    \*\*options: .*", lambda _: described, inspect.cleandoc(cls.__doc__))
    return cls
