"""Count how often the host waits for the device in each step of each task.

``python -m tests.device.waits`` prints the table of docs/guide/development.md.
"""

import logging
import tempfile
import warnings
from functools import partial
from typing import Any

import datasets
import torch
from lightning.pytorch import Callback

from seqkit import Classifier, LanguageModel, SequenceDataModule, Tagger
from seqkit.data import Continuous, MultiLabels, WordCharacters, Words
from seqkit.nn import AdaptiveSoftmax, AttentionPool, CharacterCNN, CharacterLSTM
from tests.conftest import _rows
from tests.device import strict
from tests.device.accelerator import trainer
from tests.tasks.test_every_task import EMBEDDING, ENCODER, KINDS, WORDS

PARTS = {"encoder": ENCODER, "embedding": EMBEDDING}
SPELLED = {"words": Words(), "letters": WordCharacters(min_frequency=1, column="words")}
CONTINUOUS = {"inputs": "words", "continuous": Continuous(batch_size=3, bptt=5)}


def _with_characters(encoder: Any) -> Any:
    letters = partial(encoder, embedding_dim=4)
    return partial(Tagger, **PARTS, embeddings={"letters": letters}), {"inputs": SPELLED, "targets": "tags"}


CASES: dict[str, tuple[Any, dict[str, Any]]] = KINDS | {
    "tagger of sets of labels": (partial(Tagger, **PARTS), WORDS | {"targets": "flags"}),
    "classifier of sets of labels": (
        partial(Classifier, **PARTS),
        WORDS | {"targets": {"labels": MultiLabels()}},
    ),
    "classifier with attention": (
        partial(Classifier, **PARTS, pooling=AttentionPool, attention=True),
        WORDS | {"targets": "label"},
    ),
    "characters of words, LSTM": _with_characters(partial(CharacterLSTM, hidden_size=3)),
    "characters of words, CNN": _with_characters(partial(CharacterCNN, filters=3)),
    "language model, continuous": (partial(LanguageModel, **PARTS), CONTINUOUS),
    "language model, two directions": (partial(LanguageModel, **PARTS, bidirectional=True), WORDS),
    "language model, adaptive": (
        partial(LanguageModel, **PARTS, softmax=partial(AdaptiveSoftmax, cutoffs=[6], div_value=2.0)),
        WORDS,
    ),
}
STEPS = ("training", "validation", "test", "prediction")


def rows() -> datasets.DatasetDict:
    """Make the small data set of the tests of all tasks."""
    parts = {"train": _rows(60, 0), "validation": _rows(20, 1), "test": _rows(20, 2)}
    for part in parts.values():
        part["other"] = [words[::-1] for words in part["words"]]
    return datasets.DatasetDict({name: datasets.Dataset.from_dict(part) for name, part in parts.items()})


def build(kind: str, splits: datasets.DatasetDict) -> tuple[Any, SequenceDataModule]:
    """Build a task and its data."""
    task, columns = CASES[kind]
    budget = {} if "continuous" in columns else {"max_tokens": 64}
    data = SequenceDataModule(splits, **columns, **budget)
    torch.manual_seed(0)
    return task(data.spec), data


class Recorder(Callback):
    """Keep the waits of the last batch of each kind of step."""

    def __init__(self, recorded: list[strict.Wait]) -> None:
        self.recorded = recorded
        self.waits: dict[str, list[strict.Wait]] = {}
        self._first = 0

    def on_train_batch_start(self, *arguments: Any) -> None:
        # From one step to the next, with all that Lightning does between them.
        if self._first:
            self._end("training")
        self._start()

    def _start(self, *arguments: Any) -> None:
        self._first = len(self.recorded)

    def _end(self, step: str, *arguments: Any) -> None:
        self.waits[step] = self.recorded[self._first :]

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _start

    def on_validation_batch_end(self, *arguments: Any) -> None:
        self._end("validation")

    def on_test_batch_end(self, *arguments: Any) -> None:
        self._end("test")

    def on_predict_batch_end(self, *arguments: Any) -> None:
        self._end("prediction")


def measure(kind: str, splits: datasets.DatasetDict, folder: Any) -> dict[str, list[strict.Wait]]:
    """Return the waits of one training, validation, test and prediction step.

    The first steps, in which Lightning creates what it logs into, and steps that log metrics do not count.
    """
    with strict.waits() as recorded:
        recorder = Recorder(recorded)
        run = trainer(folder, max_epochs=1, callbacks=[recorder], num_sanity_val_steps=0, log_every_n_steps=10**6)
        model, data = build(kind, splits)
        run.fit(model, data)
        run.test(model, data, verbose=False)
        if "continuous" not in CASES[kind][1]:
            run.predict(model, data)
    return recorder.waits


def line(kind: str, waits: dict[str, list[strict.Wait]]) -> str:
    """Write a line of the table."""
    return f"| {kind} | " + " | ".join(str(len(waits[step])) if step in waits else "" for step in STEPS) + " |"


if __name__ == "__main__":
    strict.load()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    datasets.disable_progress_bars()
    made = rows()
    print("| task | " + " | ".join(STEPS) + " |\n|---|" + "--:|" * len(STEPS))
    with tempfile.TemporaryDirectory() as temporary:
        for name in CASES:
            print(line(name, measure(name, made, temporary)), flush=True)
