"""The best tags of a CRF and their marginals, by loops over the steps of a padded batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seqkit.export.graph import Graph, Steps, decoders
from seqkit.nn import CRF

_IMPOSSIBLE = -1e30  # far below any score, but finite, and so are sums of it


class _Chain(NamedTuple):
    """The scores of a batch's paths, float64; steps come first.

    Step T is behind every sequence's end. So a loop has a round even where all sequences have one step.

    Attributes:
        first: (B, C), the scores of the tags at the first step, with those of starting.
        rest: (T, B, C), the scores of the tags at steps 1 to T.
        exists: (T, B, 1), whether steps 1 to T belong to the sequences.
        transitions: (C, C), from row to column.
        end: (C,).
    """

    first: str
    rest: str
    exists: str
    transitions: NDArray[np.float64]
    end: NDArray[np.float64]


@decoders.register(CRF)
def crf(graph: Graph, module: CRF, scores: Steps) -> tuple[str, str]:
    """Add the algorithm of Viterbi and, for scores, forward-backward; see :mod:`seqkit.export.graph`."""
    start, transitions, end = (
        _array(getattr(module, name), getattr(module, f"allowed_{name}"))
        for name in ("start", "transitions", "end")
    )
    values = graph.cast(graph.node("Transpose", scores.values, perm=[1, 0, 2]), np.float64)  # (T, B, C)
    first = graph.node("Slice", values, *_range(0, 1))
    later = graph.node("Slice", values, *_range(1, np.iinfo(np.int64).max))
    one, steps = np.int64(1), graph.steps_of(scores.values)
    order = graph.node("Range", one, graph.node("Add", steps, one), one)  # (T,)
    exists = graph.node("Less", graph.unsqueeze(order, 1), graph.unsqueeze(scores.lengths, 0))
    chain = _Chain(
        graph.node("Add", graph.squeeze(first, 0), start),
        graph.node("Concat", later, first, axis=0),  # the last of them are ignored
        graph.unsqueeze(exists, 2),
        transitions,
        end,
    )
    return _best_tags(graph, chain), _marginals(graph, chain) if graph.scores else ""


def _best_tags(graph: Graph, chain: _Chain) -> str:
    """Find the tags of each sequence's best path, (B, T), int64."""
    states, final = _forward(graph, chain, lambda body, paths: body.node("ReduceMax", paths, axes=[1], keepdims=0))
    last = graph.node("ArgMax", graph.node("Add", final, chain.end), axis=1, keepdims=0)  # (B,)
    # Without pointers: only the transitions to one tag are compared again.
    body, (tag, state, exists) = _body(graph, np.int64, np.float64, np.bool_)
    paths = body.node("Add", state, body.node("Gather", chain.transitions.T.copy(), tag, axis=0))  # (B, C)
    before = body.node("ArgMax", paths, axis=1, keepdims=0)
    tag = body.node("Where", body.squeeze(exists, 1), before, tag)
    _yield(body, tag, np.int64)
    _yield(body, tag, np.int64)
    _, tags = graph.node_of(2, "Scan", last, states, chain.exists, body=body, **_backwards(2))  # (T, B)
    return graph.node("Transpose", tags, perm=[1, 0])


def _marginals(graph: Graph, chain: _Chain) -> str:
    """Compute the probability of each tag at each step, (B, T, C)."""
    before, _ = _forward(graph, chain, lambda body, paths: _log_sum(body, paths, 1))
    body, (state, scores, exists) = _body(graph, np.float64, np.float64, np.bool_)
    paths = body.node("Add", body.unsqueeze(body.node("Add", state, scores), 1), chain.transitions)
    state = body.node("Where", exists, _log_sum(body, paths, 2), state)
    _yield(body, state, np.float64)
    _yield(body, state, np.float64)
    ends = graph.node("Expand", chain.end, graph.node("Shape", chain.first))
    # The sum over all paths from each tag, (T, B, C).
    _, after = graph.node_of(2, "Scan", ends, chain.rest, chain.exists, body=body, **_backwards(2))
    marginals = graph.node("Softmax", graph.node("Add", before, after), axis=-1)
    return graph.cast(graph.node("Transpose", marginals, perm=[1, 0, 2]), np.float32)


def _forward(graph: Graph, chain: _Chain, reduce: Callable[[Graph, str], str]) -> tuple[str, str]:
    """Reduce the scores of all paths to each tag.

    Args:
        graph: The graph.
        chain: The scores.
        reduce: Adds the reduction of a step's paths (B, C, C) over the first of the tags.

    Returns:
        The results at steps 0 to T - 1, (T, B, C), and at each sequence's last step, (B, C).
    """
    body, (state, scores, exists) = _body(graph, np.float64, np.float64, np.bool_)
    paths = body.node("Add", body.unsqueeze(state, 2), chain.transitions)
    state = body.node("Where", exists, body.node("Add", reduce(body, paths), scores), state)
    _yield(body, state, np.float64)
    _yield(body, state, np.float64)
    final, later = graph.node_of(2, "Scan", chain.first, chain.rest, chain.exists, body=body, num_scan_inputs=2)
    earlier = graph.node("Slice", later, *_range(0, -1))
    return graph.node("Concat", graph.unsqueeze(chain.first, 0), earlier, axis=0), final


def _log_sum(body: Graph, values: str, axis: int) -> str:
    """Return the logarithm of the sum of exponentials; those of differences, in float32, which is much faster."""
    largest = body.node("ReduceMax", values, axes=[axis], keepdims=1)
    shares = body.node("Exp", body.cast(body.node("Sub", values, largest), np.float32))
    total = body.node("ReduceSum", shares, np.array([axis], dtype=np.int64), keepdims=0)
    return body.node("Add", body.squeeze(largest, axis), body.cast(body.node("Log", total), np.float64))


def _backwards(sequences: int) -> dict[str, Any]:
    """Return the attributes of a loop from the last step to the first over some sequences, with one result."""
    return {
        "num_scan_inputs": sequences,
        "scan_input_directions": [1] * sequences,
        "scan_output_directions": [1],
    }


def _body(graph: Graph, *types: Any) -> tuple[Graph, list[str]]:
    """Return the body of a loop and its inputs, the state first."""
    body = graph.inner()
    return body, [body.input(body.new_name("step"), dtype) for dtype in types]


def _yield(body: Graph, value: str, dtype: Any) -> None:
    """Add an output of a loop's body: first the state, then what is collected."""
    body.output(value, body.new_name("result"), dtype)


def _array(scores: Tensor, allowed: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = scores.detach().cpu().double().masked_fill(~allowed.cpu(), _IMPOSSIBLE).numpy()
    return array


def _range(first: int, end: int) -> tuple[NDArray[np.int64], ...]:
    """Return the operands of Slice for a range of steps."""
    return tuple(np.array([number], dtype=np.int64) for number in (first, end, 0))
