from functools import partial

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqkit import LanguageModel, packed
from seqkit.data import Characters, learn_spec
from seqkit.nn import GRU, LSTM, RNN, AdaptiveSoftmax, Embedding, Projection, Stack
from tests.export.cases import export, run

TEXTS = ["to be or not to be", "that is the question", "a"]
LAYERS = {
    "LSTM": partial(LSTM, hidden_size=6, num_layers=2),
    "LSTM with a projection": partial(LSTM, hidden_size=6, proj_size=3),
    "GRU": partial(GRU, hidden_size=6),
    "RNN": partial(RNN, hidden_size=6, num_layers=2),
}


def built(encoder, **options):
    spec = learn_spec(Dataset.from_dict({"text": TEXTS}), {"text": Characters()}, {})
    return LanguageModel(spec, encoder=encoder, embedding=partial(Embedding, embedding_dim=5), **options).eval()


class Runner:
    """Runs a file, with zeros as states before the first step."""

    def __init__(self, model, path):
        self.session = export(model, path)
        self.inputs = {value.name: value.shape for value in self.session.get_inputs()}

    def zeros(self, batch):
        sizes = {name: shape for name, shape in self.inputs.items() if name in ("h", "c")}
        return {name: np.zeros((layers, batch, size), np.float32) for name, (layers, _, size) in sizes.items()}

    def __call__(self, ids, targets, lengths, states):
        """Return the outputs, and the states after."""
        given = {"ids": ids, "targets": targets, "lengths": lengths}
        outputs = run(self.session, {name: np.array(values) for name, values in given.items()} | states)
        return outputs, {name: outputs[f"{name}_after"] for name in states}


@pytest.mark.parametrize("encoder", LAYERS.values(), ids=list(LAYERS))
def test_steps_from_state_to_state_give_what_the_whole_row_gives(encoder, tmp_path):
    model = built(encoder)
    step = Runner(model, tmp_path / "model.onnx")
    ids = model.vocabulary.encode(TEXTS[:1])[0]
    with torch.no_grad():
        expected = model({"text": packed.pack([torch.tensor(ids)])}).data.numpy()
    states = step.zeros(1)
    for position, (token, target) in enumerate(zip([model.boundary, *ids], [*ids, model.boundary], strict=True)):
        outputs, states = step([[token]], [[target]], [1], states)
        np.testing.assert_allclose(outputs["log_probs"][0], expected[position], atol=1e-5)
        np.testing.assert_allclose(outputs["nll"][0, 0], -expected[position, target], atol=1e-5)


def test_rows_of_different_lengths_continue_from_their_own_states(tmp_path):
    step = Runner(built(LAYERS["LSTM"]), tmp_path / "model.onnx")
    first, second = [[1, 2, 3, 4], [5, 6, 0, 0]], [[6, 5, 0], [4, 3, 2]]
    _, before = step(first, first, [4, 2], step.zeros(2))
    outputs, after = step(second, second, [2, 3], before)
    for row, length in enumerate([2, 3]):
        own = [second[row][:length]]
        alone, alone_after = step(own, own, [length], {name: s[:, row : row + 1] for name, s in before.items()})
        np.testing.assert_allclose(outputs["log_probs"][row], alone["log_probs"][0], atol=1e-6)
        np.testing.assert_allclose(outputs["nll"][row, :length], alone["nll"][0], atol=1e-6)
        for name in ("h", "c"):
            np.testing.assert_allclose(after[name][:, row], alone_after[name][:, 0], atol=1e-6)


def test_generation_by_steps(tmp_path):
    model = built(LAYERS["GRU"])
    step = Runner(model, tmp_path / "model.onnx")
    (expected,) = model.generate(["to"], 8, temperature=0, may_end=False)
    text = model.vocabulary.encode(["to"])[0]
    ids, states = [model.boundary, *text], step.zeros(1)
    for _ in range(8):
        outputs, states = step([ids], [ids], [len(ids)], states)
        allowed = np.delete(np.arange(model.boundary + 1), [model.vocabulary.unknown_id, model.boundary])
        ids = [int(allowed[outputs["log_probs"][0, allowed].argmax()])]
        text += ids
    assert model.vocabulary.decode([text]) == [expected]


@pytest.mark.parametrize(
    ("options", "has_states"),
    [
        ({"encoder": LAYERS["GRU"], "bidirectional": True}, True),
        ({"encoder": LAYERS["LSTM"], "softmax": partial(AdaptiveSoftmax, cutoffs=[3, 8], div_value=2.0)}, True),
        ({"encoder": partial(LSTM, hidden_size=5), "tied": True}, True),
        ({"encoder": partial(Stack, layers=[LAYERS["GRU"], partial(Projection, output_size=3)])}, False),
    ],
    ids=["two directions", "adaptive", "tied", "without states"],
)
def test_inputs_and_outputs(options, has_states, tmp_path):
    model = built(**options)
    session = export(model, tmp_path / "model.onnx")
    inputs = {value.name for value in session.get_inputs()}
    outputs = {value.name for value in session.get_outputs()}
    assert {"ids", "lengths", "targets"} <= inputs
    assert ("h" in inputs) == ("h_after" in outputs) == has_states
    in_two_directions = model.backward_encoder is not None
    assert ("backward_ids" in inputs) == ("backward_nll" in outputs) == in_two_directions
