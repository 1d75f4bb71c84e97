import numpy as np
import pytest
import torch

from seqkit import packed
from seqkit.export.graph import word_encoders
from seqkit.nn import CharacterCNN, CharacterLSTM
from tests.export.cases import TOLERANCE, run, steps_session

WORDS = [[1], [2, 3], [1], [4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 3], [9, 9, 9]]
MODULES = {
    "lstm": lambda: CharacterLSTM(10, 4, 3, dropout=0.5),
    "lstm of two layers": lambda: CharacterLSTM(10, 4, 3, num_layers=2),
    "cnn": lambda: CharacterCNN(10, 4, 3, dropout=0.5),
    "cnn of one width": lambda: CharacterCNN(10, 4, 3, widths=[3]),
    "cnn of even widths": lambda: CharacterCNN(10, 4, 3, widths=[2, 1, 6]),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("words", [WORDS, [[3]]], ids=["words", "one"])
def test_equals_the_module(name, words):
    module = MODULES[name]().eval()
    ids = np.full((len(words), max(map(len, words)) + 2), 7)
    for row, word in zip(ids, words, strict=True):
        row[: len(word)] = word
    session = steps_session(
        lambda graph, steps: {"vectors": word_encoders.build(graph, module, steps)}, None, np.int64
    )
    found = run(session, {"values": ids, "lengths": np.array([len(word) for word in words])})["vectors"]
    with torch.no_grad():
        expected = module(packed.pack([torch.tensor(word) for word in words]))
    np.testing.assert_allclose(found, expected, **TOLERANCE)
