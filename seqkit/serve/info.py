"""What a server says about its model: the task, what a row holds, and what is predicted."""

from typing import Any

import seqkit
from seqkit.class_paths import public_path
from seqkit.data.encoders import (
    Characters,
    Features,
    Ids,
    MultiLabels,
    ShapedWords,
    TokenizerFile,
    WordCharacters,
    Words,
    build_encoder,
)
from seqkit.serve.requests import Limits
from seqkit.tasks import SequenceModule

_KINDS = (
    (Characters, "text"),
    (TokenizerFile, "text"),
    (Words, "words"),
    (WordCharacters, "words"),
    (ShapedWords, "words"),
    (Ids, "ids"),
    (Features, "numbers"),
    (MultiLabels, "label sets"),
)


def describe(model: SequenceModule, limits: Limits) -> dict[str, Any]:
    """Describe a model in plain types.

    Args:
        model: The model.
        limits: The most that one request may hold.

    Returns:
        The ``task`` and the ``version`` of seqkit; ``inputs``: by column, its ``kind`` (text, words, ids, numbers,
        label sets, or values of another encoder) and, of numbers, the ``size`` of a step; ``targets``: by column,
        its ``kind``, what it is ``per`` and, if it has any, its ``labels``; and the ``limits`` of a request.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for name, entry in model.spec["inputs"].items():
        encoder = build_encoder(entry)
        kind = next((kind for cls, kind in _KINDS if isinstance(encoder, cls)), "values")
        described: dict[str, Any] = {"kind": kind}
        if isinstance(encoder, Features):
            described["size"] = encoder.size
        inputs.setdefault(entry.get("column", name), described)
    targets = {
        name: {"kind": entry["kind"], "per": entry["per"]}
        | ({"labels": entry["names"]} if "names" in entry else {})
        for name, entry in model.spec["targets"].items()
    }
    return {
        "task": public_path(type(model)),
        "version": seqkit.__version__,
        "inputs": inputs,
        "targets": targets,
        "limits": limits._asdict(),
    }
