"""The graph of an exported model while it is built, and the functions that build its parts.

**Batches.** The graph computes a padded batch. A :class:`Steps` is a tensor (B, T, ...) with the ``lengths`` (B,)
of its sequences. What stands behind a sequence's end is undefined but finite; a part that reads over the steps
takes :meth:`Graph.mask`. B and T differ from call to call. Rows are in the order of the inputs, not sorted.

**Parts.** Each class of modules has a function that adds its nodes, found by the module's exact class, since a
subclass may compute something else. There is one :class:`Registry` for each role. A function has this signature:

- ``layers``: ``(graph, module, steps: Steps, state: tuple[str, ...] = ()) -> Encoded``. Embeddings, encoders,
  resampling, dropout. A state is h (layers × directions, B, H), or h and c.
- ``word_encoders``: ``(graph, module, characters: Steps) -> str``: from the ids of the characters of W words,
  (W, L), to the words' vectors (W, D).
- ``pools``: ``(graph, module, encoded: Encoded) -> str``: one vector for each sequence, (B, D).
- ``decoders``: ``(graph, module, scores: Steps) -> tuple[str, str]``: from scores (B, T, C) to the ids of the best
  tags (B, T), int64, and the probability of each tag at each step (B, T, C).
- ``heads``: ``(graph, task, encoded: list[Encoded], prefix: str = "") -> None``: from the encoder's output (of both
  sequences of a pair) to the graph's outputs, added by :meth:`Graph.output`. The prefix is for the names of outputs
  besides the target's own (those that begin with its column have it already).
- ``tasks``: ``(graph, task) -> None``: the whole graph, from the inputs to the outputs.

A function is registered and used like this::

    @layers.register(MyLayer)
    def my_layer(graph, module, steps, state=()):
        doubled = graph.node("Mul", steps.values, np.float32(2))
        return Encoded(steps._replace(values=doubled))

    encoded = layers.build(graph, module, steps)

:meth:`Registry.build` raises ValueError for a class without a function. Nothing is written before the whole graph
is built, so a function refuses what it cannot build by a ValueError that names the option.

A loop's body is a :meth:`Graph.inner` graph, which is passed as an attribute of the node and may read the outer
graph's tensors.
"""

import hashlib
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

Shape = Sequence[int | str | None]
Operand = str | Tensor | np.generic | NDArray[Any] | None


class Steps(NamedTuple):
    """A padded batch of sequences.

    Attributes:
        values: Name of the tensor (B, T, ...).
        lengths: Name of the number of steps of each sequence, (B,), int64.
    """

    values: str
    lengths: str


class Encoded(NamedTuple):
    """The output of a layer.

    Attributes:
        hidden: The output, (B, T, H × directions).
        state: Names of the final state, h (layers × directions, B, H), or h and c; empty for a layer without one.
        state_size: H of the state.
    """

    hidden: Steps
    state: tuple[str, ...] = ()
    state_size: int = 0


class Value(NamedTuple):
    """An input or output of a graph.

    Attributes:
        name: Its name.
        dtype: Its type.
        shape: Its dimensions: a number, the name of a dimension that varies, or None for an unknown one; no shape
            at all in a loop's body.
        about: What it is, as plain types for the metadata.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape | None
    about: dict[str, Any]


class Node(NamedTuple):
    """An operator with the names of its inputs and outputs."""

    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Graph:
    """A graph that grows node by node, in the order of computation.

    Args:
        outputs: Names that are kept for outputs: an input of such a name gets ``_input`` behind it.
        scores: Whether outputs of probabilities are wanted, ``NAME_scores``.

    Attributes:
        scores: The argument.
        nodes: The operators.
        constants: The weights and other constants, by name.
        inputs: The inputs.
        outputs: The outputs.
    """

    def __init__(self, outputs: Collection[str] = (), *, scores: bool = False) -> None:
        self.scores = scores
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self._numbers = count()
        self._kept = set(outputs)
        self._taken: set[str] = set()
        self._known: dict[Any, list[str]] = {}
        self._known_constants: dict[Any, str] = {}

    def input(self, name: str, dtype: Any, shape: Shape | None = None, **about: Any) -> str:
        """Add an input and return its name.

        Args:
            name: Its name; ``_input`` is appended where an output or another input has it.
            dtype: Its type, as of NumPy.
            shape: Its dimensions; see :class:`Value`.
            about: What it is, as plain types: ``column``, and ``holds``, which is one of ``ids``, ``values``,
                ``sets``, ``index``, ``lengths`` and ``state``.
        """
        while name in self._kept or name in self._taken:
            name += "_input"
        self._taken.add(name)
        self.inputs.append(Value(name, np.dtype(dtype), shape, about))
        return name

    def output(self, value: str, name: str, dtype: Any, shape: Shape | None = None, **about: Any) -> None:
        """Make a tensor an output.

        Args:
            value: The tensor.
            name: The output's name.
            dtype: Its type, as of NumPy.
            shape: Its dimensions; see :class:`Value`.
            about: What it is, as plain types: ``column``, ``per`` (``token`` or ``sequence``), and ``holds``, such
                as ``labels``, ``sets``, ``values``, ``scores``, ``logits`` or ``attention``.

        Raises:
            ValueError: The graph has such an input or output.
        """
        if name in self._taken:
            raise ValueError(
                f"to_onnx: two inputs or outputs would have the name {name!r}; give one of the columns another name"
            )
        self._taken.add(name)
        self.nodes.append(Node("Identity", [value], [name], {}))
        self.outputs.append(Value(name, np.dtype(dtype), shape, about))

    def constant(self, values: Tensor | np.generic | NDArray[Any]) -> str:
        """Add a constant and return its name; equal ones are added once, and floats of torch are float32."""
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = (values.float() if values.is_floating_point() else values).numpy()
        array = np.asarray(values)
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._known_constants:
            name = self._new_name("constant")
            self._known_constants[key] = name
            self.constants[name] = array
        return self._known_constants[key]

    def node(self, operator: str, *operands: Operand, **attributes: Any) -> str:
        """Add an operator with one output and return the output's name; see :meth:`node_of`."""
        return self.node_of(1, operator, *operands, **attributes)[0]

    def node_of(self, outputs: int, operator: str, *operands: Operand, **attributes: Any) -> list[str]:
        """Add an operator and return the names of its outputs.

        Args:
            outputs: The number of outputs.
            operator: The operator of ONNX.
            operands: Names of tensors; arrays and tensors become constants; None leaves an optional one out.
            attributes: The operator's attributes; a :class:`Graph` is a loop's body.

        Returns:
            The names. Those of an equal node that the graph has already are used again.
        """
        inputs = [
            operand if isinstance(operand, str) else "" if operand is None else self.constant(operand)
            for operand in operands
        ]
        while inputs and not inputs[-1]:
            inputs.pop()
        key = (operator, outputs, tuple(inputs), tuple(sorted((k, repr(v)) for k, v in attributes.items())))
        if key not in self._known:
            self._known[key] = [self._new_name(operator) for _ in range(outputs)]
            self.nodes.append(Node(operator, inputs, self._known[key], attributes))
        return self._known[key]

    def inner(self) -> "Graph":
        """Return an empty graph for the body of a loop; its names are new in this graph, too.

        It has constants of its own. Its inputs and outputs are added by :meth:`input` and :meth:`output`, with
        names from :meth:`new_name`.
        """
        body = Graph()
        body._numbers, body._taken = self._numbers, self._taken
        return body

    def new_name(self, hint: str) -> str:
        """Return a name that no tensor has, for an input or an output of a loop's body."""
        name = self._new_name(hint)
        self._taken.discard(name)
        return name

    # What most parts need.

    def steps_of(self, values: str) -> str:
        """Return the number of steps T of a tensor (B, T, ...), a scalar."""
        return self.node("Squeeze", self.node("Shape", values, start=1, end=2))

    def mask(self, steps: Steps) -> str:
        """Return which steps belong to the sequences: (B, T), bool."""
        order = self.node("Range", np.int64(0), self.steps_of(steps.values), np.int64(1))  # (T,)
        return self.node("Less", order, self.unsqueeze(steps.lengths, 1))

    def masked(self, steps: Steps, fill: float) -> str:
        """Return values (B, T, D) with a number behind the sequences' ends."""
        mask = self.unsqueeze(self.mask(steps), 2)
        return self.node("Where", mask, steps.values, np.float32(fill))

    def unsqueeze(self, value: str, *axes: int) -> str:
        """Add dimensions of size 1."""
        return self.node("Unsqueeze", value, np.array(axes, dtype=np.int64))

    def squeeze(self, value: str, *axes: int) -> str:
        """Remove dimensions of size 1."""
        return self.node("Squeeze", value, np.array(axes, dtype=np.int64))

    def reshape(self, value: str, *sizes: int) -> str:
        """Reshape; a size of 0 keeps that dimension, and -1 takes what is left."""
        return self.node("Reshape", value, np.array(sizes, dtype=np.int64))

    def cast(self, value: str, dtype: Any) -> str:
        """Convert to a type of NumPy."""
        return self.node("Cast", value, to=np.dtype(dtype))

    def linear(self, value: str, weight: Tensor, bias: Tensor | None = None) -> str:
        """Return values (..., D) times the transpose of the weight (O, D), plus the bias."""
        product = self.node("MatMul", value, weight.T.contiguous())
        return product if bias is None else self.node("Add", product, bias)

    def _new_name(self, hint: str) -> str:
        # A slash and a number: no column is called so, or else the next number is taken.
        name = next(each for i in self._numbers if (each := f"{hint}/{i}") not in self._taken)
        self._taken.add(name)
        return name


class Registry:
    """The functions that build the graphs of one role's modules, by class.

    Args:
        role: The role, for messages.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self._functions: dict[type, Callable[..., Any]] = {}

    def register(self, *classes: type[nn.Module]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return a decorator that registers a function for some classes."""

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            self._functions.update(dict.fromkeys(classes, function))
            return function

        return decorate

    def build(self, graph: Graph, module: nn.Module, *arguments: Any, **options: Any) -> Any:
        """Call the function of a module's class with the graph, the module and further arguments.

        Raises:
            ValueError: The class has none, or the module has parametrizations; names it.
        """
        if parametrize.is_parametrized(module):
            raise ValueError(
                f"to_onnx: the {self.role} {type(module).__bases__[0].__name__} has parametrizations of "
                f"{sorted(module.parametrizations)}; remove them first "  # type: ignore[arg-type]
                f"(torch.nn.utils.parametrize.remove_parametrizations)"
            )
        function = self._functions.get(type(module))
        if function is None:
            names = ", ".join(sorted(cls.__name__ for cls in self._functions))
            raise ValueError(
                f"to_onnx: no ONNX graph is known for the {self.role} {type(module).__name__}; there is one for "
                f"{names}. Register a function for your own class: see seqkit.export.graph"
            )
        return function(graph, module, *arguments, **options)


layers = Registry("layer")
word_encoders = Registry("encoder of characters")
pools = Registry("pooling")
decoders = Registry("decoder")
heads = Registry("head")
tasks = Registry("task")
