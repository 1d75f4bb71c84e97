"""A new task is one short class: here a count for every token, with its own loss, metric and report table."""

import inspect
import json

import pytest
import torch
import yaml
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, MetricCollection

from seqkit import Task
from seqkit.cli import main
from seqkit.losses import Loss
from seqkit.metrics import ReportMetric, ReportTable


class PoissonLoss(Loss):
    def total(self, output, target):
        losses = F.poisson_nll_loss(output.data.squeeze(-1), target.data, reduction="none")
        return losses.sum(), torch.tensor(len(losses))


class ErrorByCount(ReportMetric):
    def __init__(self):
        super().__init__()
        self.add_state("errors", torch.zeros(20, 2), dist_reduce_fx="sum")  # their sum and their number

    def update(self, predicted, true):
        errors = torch.stack([(predicted - true).abs(), torch.ones_like(true)], dim=-1)
        self.errors.index_add_(0, true.long(), errors)

    def compute(self):
        return {"errors": self.errors}

    def table(self):
        means = self.to_python()["mean_errors"]
        return ReportTable(("count", "mean error"), [[(str(i), f"{mean:.2f}") for i, mean in enumerate(means)]])

    def to_python(self):
        return {"mean_errors": (self.errors[:, 0] / self.errors[:, 1].clamp(min=1)).tolist()}


class TokenCounter(Task):
    monitor = ("val_error", "min")

    def __init__(self, spec, **options):
        super().__init__(spec, loss=PoissonLoss, **options)

    def output_size(self):
        return 1

    def build_metrics(self):
        return [MetricCollection({"error": MeanAbsoluteError()})]

    def build_report(self):
        return [ErrorByCount()]

    def metric_inputs(self, output, target):
        return [(self.decode(output).data.squeeze(-1), target.data)]

    def decode(self, output):
        return output._replace(data=output.data.exp())

    def to_python(self, predicted):
        return predicted.flatten().tolist()


QUICK = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


def test_it_is_short():
    sources = [inspect.getsource(part) for part in (PoissonLoss, ErrorByCount, TokenCounter)]
    assert len([line for source in sources for line in source.splitlines() if line.strip()]) < 40


@pytest.mark.filterwarnings("ignore:(?s).*(add_instantiator|skip_none).*was deprecated:DeprecationWarning")
def test_it_trains_tests_and_predicts_from_the_command_line(folder, splits, capsys):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"]["class_path"] = f"{__name__}.TokenCounter"
    config["data"]["targets"] = "values"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "config.yaml", "--trainer.max_epochs=15", *QUICK])
    (checkpoint,) = folder.rglob("best.ckpt")
    capsys.readouterr()
    alone = [f"--ckpt_path={checkpoint}", "--trust", __name__, *QUICK]
    tested = main(["test", *alone])
    assert tested.trainer.callback_metrics["test_error"] < 1.0
    printed = capsys.readouterr().out
    assert "mean error" in printed
    assert "worst rows" in printed
    (report,) = folder.rglob("test_values.json")
    assert max(json.loads(report.read_text())["mean_errors"]) < 3.0
    assert len(next(folder.rglob("test_values_worst.jsonl")).read_text().splitlines()) == 10
    main(["predict", *alone, "--predictions.path=out.jsonl"])
    lines = [json.loads(line)["values"] for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [len(line) for line in lines] == [len(words) for words in splits["test"]["words"]]
