"""A loss of the user's own: the classes of docs/howto/own_loss.md, in a script and in YAML, and what is refused."""

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional as F

from seqkit import Classifier, Regressor, SequenceDataModule, Tagger
from seqkit.cli import main
from seqkit.losses import CrossEntropy, Loss
from seqkit.nn import LSTM, Embedding
from tests.docs.pages import blocks, fenced

PARTS = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own_loss.md"
FILE = next(block.code for block in blocks(PAGE) if block.file == "my_losses.py")


@pytest.fixture(scope="module")
def page():
    """The classes of the page, by name."""
    names = {"__name__": "page"}
    exec(FILE, names)
    return names


def build(task, target, splits, **options):
    data = SequenceDataModule(splits, inputs="words", targets=target, max_tokens=32)
    torch.manual_seed(0)
    return task(data.spec, **PARTS, **options), data


def test_a_loss_on_tokens_weighs_each_token_the_same(page, splits, trainer):
    model, data = build(Tagger, "tags", splits, loss=partial(page["Robust"], q=0.5))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    alone = []
    with torch.no_grad():
        for row in range(len(data.rows("validation"))):
            batch = data.rows("validation")[[row]]
            for logits, label in zip(model(batch.inputs).data, batch.targets["tags"].data, strict=True):
                p = logits.softmax(-1)[label]
                alone.append((1 - p.sqrt()) / 0.5)
    assert float(run.callback_metrics["val_loss"]) == pytest.approx(float(torch.stack(alone).mean()), rel=1e-5)


def test_labels_that_do_not_count_add_nothing(page):
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 3, requires_grad=True), torch.tensor([0, -100, 2, 1, -100])
    total, units = page["Robust"](q=1.0).total(logits, labels)
    assert int(units) == 3
    each = [1 - logits[unit].softmax(-1)[labels[unit]] for unit in (0, 2, 3)]
    torch.testing.assert_close(total, sum(each))
    total.backward()
    assert torch.equal(logits.grad[[1, 4]], torch.zeros(2, 3))


@pytest.mark.parametrize("target", ["value", "values"])
def test_a_loss_on_values_gets_tensors_of_standardised_values(target, page, splits, trainer):
    model, data = build(Regressor, target, splits, loss=partial(page["Pinball"], quantile=0.8))
    run = trainer(max_epochs=1)
    run.fit(model, data)
    spec, alone = data.spec["targets"][target], []
    with torch.no_grad():
        for row in range(len(data.rows("validation"))):
            batch = data.rows("validation")[[row]]
            output, truth = model(batch.inputs), batch.targets[target]
            if target == "values":
                output, truth = output.data, truth.data
            standard = model.standardization(truth.reshape(-1, 1))
            error = (standard - output).reshape(-1)
            alone += [max(0.8 * e, -0.2 * e) for e in error.tolist()]
    assert spec["kind"] == "value"
    assert float(run.callback_metrics["val_loss"]) == pytest.approx(sum(alone) / len(alone), rel=1e-4)


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_in_yaml(monkeypatch):
    Path("my_losses.py").write_text(FILE, encoding="utf-8")
    monkeypatch.syspath_prepend(".")
    config = yaml.safe_load(Path("config.yaml").read_text())
    (options,) = map(yaml.safe_load, fenced(PAGE, "yaml"))
    config["model"]["init_args"] |= options["model"]["init_args"]
    config["trainer"] |= {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    cli = main(["fit", "--config", "config.yaml"])
    assert type(cli.model.loss).__name__ == "Robust"
    assert cli.model.loss.q == 0.7
    checkpoint = cli.trainer.checkpoint_callback.best_model_path
    again = main(["test", "--ckpt_path", checkpoint, "--trust", "my_losses", "--trainer.enable_progress_bar=false"])
    assert again.model.loss.q == 0.7


@pytest.mark.filterwarnings("ignore:Attribute 'loss' is an instance of")
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            nn.CrossEntropyLoss,
            "a CrossEntropyLoss, which is no seqkit.losses.Loss: .* use seqkit.losses.CrossEntropy",
        ),
        (
            partial(nn.CrossEntropyLoss, label_smoothing=0.1),
            "every unit weighs the same; use seqkit.losses.CrossEnt",
        ),
        (nn.MSELoss, "use seqkit.losses.MSE"),
        (nn.PoissonNLLLoss, "a PoissonNLLLoss, .*; subclass seqkit.losses.Loss"),
        (
            CrossEntropy(),
            r"loss=CrossEntropy\(\) cannot be kept in a checkpoint; give a class, or functools.partial",
        ),
    ],
    ids=["class", "partial", "values", "no counterpart", "object"],
)
def test_what_is_no_loss_is_refused(loss, message, splits):
    for task, target in ((Tagger, "tags"), (Classifier, "label"), (Regressor, "value")):
        with pytest.raises(TypeError, match=message):
            build(task, target, splits, loss=loss)


class Returns(Loss):
    """A loss that returns what it should not."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def total(self, output, target):
        nll = F.cross_entropy(output.data, target.data, reduction="none")
        return {"alone": nll.sum(), "each": (nll, torch.ones(())), "count": (nll.sum(), len(nll))}[self.kind]


@pytest.mark.parametrize(
    ("kind", "returned"),
    [
        ("alone", r"a tensor \(\);"),
        ("each", r"a tensor \(\d+,\) and a tensor \(\);"),
        ("count", r"a tensor \(\) and a int;"),
    ],
)
def test_what_total_returns_is_checked(kind, returned, splits, trainer):
    model, data = build(Tagger, "tags", splits, loss=partial(Returns, kind=kind))
    with pytest.raises(
        TypeError, match=rf"Returns.total returned {returned} return two scalar tensors: the loss sum"
    ):
        trainer(max_epochs=1).fit(model, data)
