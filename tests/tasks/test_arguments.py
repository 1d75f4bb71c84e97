"""The arguments that tasks share are declared once, and each task shows and takes them all."""

import inspect
import re
from functools import partial

import pytest
from jsonargparse import ArgumentParser

from seqkit import (
    Classifier,
    CTCRecognizer,
    Forecaster,
    LanguageModel,
    MultiTask,
    Regressor,
    SequenceDataModule,
    Tagger,
)
from seqkit.nn import LSTM, Embedding

SHARED = ("encoder", "embedding", "embeddings", "dropout", "optimizer", "lr_scheduler", "lr_interval", "lr_monitor")
TASKS = {
    Tagger: {*SHARED, "loss", "per_class", "decoder", "scheme", "constrained", "causal"},
    Classifier: {*SHARED, "loss", "per_class", "pooling", "attention"},
    Regressor: {*SHARED, "loss", "pooling", "attention", "causal", "metrics"},
    Forecaster: {*SHARED, "loss", "horizon", "column", "per_horizon"},
    CTCRecognizer: {*SHARED, "infeasible", "beam_width", "causal"},
    MultiTask: {*SHARED, "heads", "weights", "main", "causal"},
}


@pytest.mark.parametrize("task", TASKS)
def test_help_shows_each_argument_with_its_description(task):
    parser = ArgumentParser()
    parser.add_class_arguments(task, "task", skip={"spec"})
    arguments = re.split(r"\n  (?=--)", parser.format_help())[1:]
    names = {argument.split()[0].removeprefix("--task.").partition("=")[0].rstrip(",") for argument in arguments}
    assert {name for name in names if "." not in name and name != "--task"} == TASKS[task]
    help_of = {argument.split()[0]: argument for argument in arguments}
    assert "Probability of dropping a feature" in help_of["--task.dropout"]
    assert "default: 0.0" in help_of["--task.dropout"]
    assert "The encoder, without its ``input_size``" in re.sub(r"\s+", " ", help_of["--task.encoder"])
    assert all(len(argument.split()) > 5 for name, argument in help_of.items() if name != "--task"), help_of


@pytest.mark.parametrize("task", [*TASKS, LanguageModel])
def test_only_the_spec_is_positional(task):
    parameters = list(inspect.signature(task).parameters.values())
    assert parameters[0].name == "spec"
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters[1:])


def test_unknown_arguments_are_refused(splits):
    data = SequenceDataModule(splits, inputs="words", targets="label", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    with pytest.raises(TypeError, match="multiple values for keyword argument 'causal'"):
        Classifier(data.spec, **parts, causal=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'drop_out'"):
        Classifier(data.spec, **parts, drop_out=0.5)


def test_shared_arguments_are_saved(splits):
    data = SequenceDataModule(splits, inputs="words", targets="tags", max_tokens=32)
    parts = {"encoder": partial(LSTM, hidden_size=4), "embedding": partial(Embedding, embedding_dim=4)}
    saved = Tagger(data.spec, **parts, dropout=0.25).hparams
    assert saved["encoder"] == {"class_path": "seqkit.nn.LSTM", "init_args": {"hidden_size": 4}}
    assert saved["dropout"] == 0.25
    assert saved["scheme"] == "auto"
    assert "pooling" not in saved  # an argument of Task that Tagger does not take
