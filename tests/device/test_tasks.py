"""Every task on the strict device: its values are those on the CPU, and the host waits as little as documented."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from torch.testing import assert_close

from tests.device.accelerator import trainer
from tests.device.waits import CASES, build, line, measure, rows

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "development.md"
FAST = ("tagger", "crf", "ctc", "multitask", "characters of words, LSTM")


def marked(kinds):
    return [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in kinds]


@pytest.fixture(scope="module")
def splits():
    return rows()


class Gradients(Callback):
    def on_after_backward(self, trainer, pl_module):
        self.found = {name: parameter.grad.cpu() for name, parameter in pl_module.named_parameters()}


def run(kind, splits, device, folder):
    model, data = build(kind, splits)
    weights = {name: values.clone() for name, values in model.state_dict().items()}
    gradients = Gradients()
    fit = trainer(folder, device, max_epochs=1, limit_train_batches=1, limit_val_batches=2, callbacks=[gradients])
    fit.fit(model, data)
    model.load_state_dict(weights)
    scores = [
        {name: float(value) for name, value in fit.callback_metrics.items()},
        *fit.test(model, data, verbose=False),
    ]
    predicted = [] if "continuous" in CASES[kind][1] else fit.predict(model, data)
    return gradients.found, scores, sorted(predicted)


def assert_like(found, expected):
    """Compare nested plain values, numbers within a tolerance."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_like(one, other)
    else:
        assert found == (pytest.approx(expected, rel=1e-3, abs=1e-4) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("kind", marked(CASES))
def test_gradients_scores_and_predictions_are_those_of_the_cpu(kind, splits, tmp_path):
    found, expected = (run(kind, splits, device, tmp_path) for device in ("strict", "cpu"))
    for name, gradient in expected[0].items():
        assert_close(found[0][name], gradient, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    assert_like(found[1:], expected[1:])


@pytest.mark.parametrize("kind", marked(CASES))
def test_the_host_waits_as_often_as_documented(kind, splits, tmp_path):
    waits = measure(kind, splits, tmp_path)
    # Labels of CTC are read for their lengths; torch's adaptive softmax selects tokens by masks.
    training = {"ctc": 1, "language model, adaptive": 1}.get(kind, 0)
    prediction = {"language model, continuous": 0, "language model, adaptive": 2}.get(kind, 1)
    for step, wanted in (("training", training), ("prediction", prediction)):
        found = waits.get(step, [])
        assert len(found) == wanted, (step, [str(wait) for wait in found])
    assert line(kind, waits) in PAGE.read_text(), "run python -m tests.device.waits and put its table into the page"


def test_a_step_that_fails_on_the_device_names_the_reason(splits, tmp_path):
    model, data = build("crf", splits)
    batch = data.rows("train")[[0, 1]]
    scores = model(batch.inputs)
    tags = batch.targets["tags"]
    wrong = [packed.to("strict") for packed in (scores, tags._replace(data=torch.full_like(tags.data, 7)))]
    with pytest.raises(RuntimeError, match="CRF: tags that are out of range or not allowed"):
        model.decoder.to("strict")(*wrong)


def test_a_language_model_generates_the_same_text(splits):
    model, _ = build("language model", splits)
    expected = model.generate([["w1", "w2"], []], 6, temperature=0)
    assert model.to("strict").generate([["w1", "w2"], []], 6, temperature=0) == expected
    assert model.generate([["w1"]], 6, seed=1) == model.generate([["w1"]], 6, seed=1)


@pytest.mark.parametrize("kind", marked(CASES))
def test_predictions_of_raw_rows_are_those_of_the_cpu(kind, splits):
    model, _ = build(kind, splits)
    expected = model.predict(splits["test"], scores=True)
    assert_like(model.to("strict").predict(splits["test"], scores=True), expected)


@pytest.mark.parametrize("kind", ["tagger", "language model"])
def test_a_stream_gives_the_same_outputs(kind, splits):
    model, _ = build(kind, splits)
    pushes = [[["w1", "w2"], None], [["w3"], ["w4", "w1"]], [None, ["w5"]]]

    def run():
        stream = model.stream(batch_size=2)
        found = [stream.push(push) for push in pushes]
        stream.reset(rows=[1])
        more = [stream.next_tokens(3)] if kind == "language model" else []
        return [*found, stream.push(pushes[1]), *more]

    expected = run()
    model.to("strict")
    assert_like(run(), expected)
