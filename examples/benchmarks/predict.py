"""Compare predictions of raw rows with the bare model on packed batches, and with the loops that people write.

    python examples/benchmarks/predict.py DIR [--output FILE]

Isolates what surrounds the model: encoding the words, forming and packing the batches, turning labels into names,
and ordering these like the rows. ``DIR`` holds en_ewt-ud-{train,dev,test}.conllu[.gz]; the rows are the
lists of dev and test. The "words" model is a BiLSTM of 200 units a direction on embeddings of 100; "words and
characters" is that of configs/ewt_upos.yaml. Their weights are random, which takes the same time. The bare model
gets the batches that ``model.predict`` forms, packed beforehand. The loops of torch have the weights of the "words"
model and batches of 32 around ``nn.LSTM``. All give the same labels, which is checked first; then they are timed in
turns.
"""

import gc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from measuring import find, in_turns, medians, options, setting, write_json
from sections.predict import BARE, predict_table
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from seqkit import Batch, SequenceDataModule, Tagger
from seqkit.data import CoNLL, WordCharacters, Words
from seqkit.data.encoders import vocabulary
from seqkit.nn import LSTM, CharacterLSTM, Embedding

BATCH = 32

Rows = list[list[str]]


class Loop(nn.Module):
    """The loop that people write: batches are padded, packed around ``nn.LSTM`` and padded again.

    Args:
        tagger: Has the weights and the vocabulary.
        by_length: Whether a batch has rows of similar lengths.
    """

    def __init__(self, tagger: Tagger, *, by_length: bool) -> None:
        super().__init__()
        (entry,) = tagger.spec["inputs"].values()
        self.ids = {word: number for number, word in enumerate(vocabulary(entry))}
        self.names = tagger.labels.names
        self.by_length = by_length
        self.embedding = nn.Embedding(entry["size"], 100)
        self.lstm = nn.LSTM(100, 200, bidirectional=True, batch_first=True)
        self.head = nn.Linear(400, len(self.names))
        for own, given in (
            (self.embedding, tagger.embeddings[0]),
            (self.lstm, tagger.encoder),
            (self.head, tagger.head),
        ):
            own.load_state_dict(given.state_dict())
        self.eval()

    @torch.inference_mode()
    def predict(self, rows: Rows) -> list[list[str]]:
        """Return the labels of each row."""
        order = list(range(len(rows)))
        if self.by_length:
            order.sort(key=lambda row: -len(rows[row]))
        found: list[list[str]] = [[] for _ in rows]
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            words = [torch.tensor([self.ids.get(word, 0) for word in rows[row]]) for row in chosen]
            lengths = torch.tensor([len(row) for row in words])
            embedded = self.embedding(pad_sequence(words, batch_first=True))
            hidden, _ = self.lstm(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))
            best = self.head(pad_packed_sequence(hidden, batch_first=True)[0]).argmax(-1)
            for row, tags, length in zip(chosen, best.tolist(), lengths.tolist(), strict=True):
                found[row] = [self.names[tag] for tag in tags[:length]]
        return found


def build(splits: Any, characters: bool) -> Tagger:
    """Build a tagger of the columns ``form`` and ``upos``, with random weights."""
    words = partial(Embedding, embedding_dim=100)
    inputs: dict[str, Any] = {"form": Words(min_frequency=2)}
    if not characters:
        data = SequenceDataModule(splits, inputs=inputs, targets="upos", max_tokens=512)
        return Tagger(data.spec, embedding=words, encoder=partial(LSTM, hidden_size=200, bidirectional=True))
    inputs |= {"characters": WordCharacters(column="form")}
    data = SequenceDataModule(splits, inputs=inputs, targets="upos", max_tokens=512)
    spelled = partial(CharacterLSTM, embedding_dim=32, hidden_size=64)
    return Tagger(
        data.spec,
        embeddings={"form": words, "characters": spelled},
        encoder=partial(LSTM, hidden_size=200, num_layers=2, bidirectional=True),
    )


def batches_of(model: Tagger, rows: Rows) -> list[Batch]:
    """Return the batches that ``model.predict`` forms."""
    found: list[Batch] = []
    step = model.predict_step

    def keep(batch: Batch, number: int) -> Any:
        found.append(batch)
        return step(batch, number)

    model.predict_step = keep  # type: ignore[method-assign]
    try:
        model.predict(rows)
    finally:
        del model.predict_step
    return found


@torch.inference_mode()
def run_bare(model: Tagger, batches: Sequence[Batch]) -> None:
    """Compute the outputs of packed batches, and nothing else."""
    for batch in batches:
        model(batch.inputs)


def run_trainer(model: Tagger, rows: Any) -> list[list[str]]:
    """Predict the rows of a dataset by a data module and a trainer."""
    data = SequenceDataModule({"test": rows}, spec=model.spec, max_tokens=16384)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    found: list[list[str]] = [[] for _ in range(len(rows))]
    for numbers, columns in trainer.predict(model, data) or []:
        for number, tags in zip(numbers, columns["upos"], strict=True):
            found[number] = tags
    return found


def contenders(model: Tagger, rows: Rows, dataset: Any, characters: bool) -> dict[str, Callable[[], Any]]:
    """Return what predicts the labels of all rows, by name."""

    def predict() -> list[list[str]]:
        return [row["upos"] for row in model.predict(rows)]

    found: dict[str, Callable[[], Any]] = {
        "model.predict": predict,
        "Trainer.predict": partial(run_trainer, model, dataset),
    }
    if not characters:
        found["loop of torch, batches by length"] = partial(Loop(model, by_length=True).predict, rows)
        found["loop of torch"] = partial(Loop(model, by_length=False).predict, rows)
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print a table."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--limit", type=int, help="rows of each split to use")
    given = parser.parse_args(arguments)
    files = {
        split: str(find(given.folder, f"en_ewt-ud-{name}.conllu"))
        for split, name in (("train", "train"), ("validation", "dev"), ("test", "test"))
    }
    splits = CoNLL(**files).load()
    both = [splits[split].select_columns("form") for split in ("validation", "test")]
    rows: Rows = [words for part in both for words in part[: given.limit]["form"]]
    dataset = type(both[0]).from_dict({"form": rows})
    tokens = sum(map(len, rows))
    results: dict[str, dict[str, float]] = {}
    for name in ("words", "words and characters"):
        torch.manual_seed(0)
        model = build(splits, characters="characters" in name).eval()
        batches = batches_of(model, rows)
        functions = contenders(model, rows, dataset, characters="characters" in name)
        labels = {contender: function() for contender, function in functions.items()}
        expected = labels.pop("model.predict")
        for contender, found in labels.items():
            if found != expected:
                raise SystemExit(f"{contender} gives other labels than model.predict: nothing to compare")
        gc.collect()
        times = medians(in_turns({BARE: partial(run_bare, model, batches)} | functions, given.rounds))
        results[name] = {contender: tokens / seconds for contender, seconds in times.items()}
    report = {"what": "tokens/s", "rows": len(rows), "tokens": tokens, **setting("datasets"), "results": results}
    print(predict_table(results))
    write_json(given.output, report)
    return report


if __name__ == "__main__":
    main()
