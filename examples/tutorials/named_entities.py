"""Find named entities, such as persons and places, by a tagger with a conditional random field (CRF).

    python examples/tutorials/named_entities.py TRAIN VALIDATION TEST

The files have two columns, words and BIO tags: wnut17train.conll, emerging.dev.conll and emerging.test.annotated of
WNUT-17, or your own. They may be gzipped.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from lightning.pytorch import Callback, Trainer
from matplotlib.figure import Figure

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import Progress, Report, Summary
from seqkit.data import CoNLL, WordCharacters, Words, WordShapes
from seqkit.nn import CRF, LSTM, CharacterLSTM, Embedding
from seqkit.optim import WarmupCosine


def fit(data: SequenceDataModule, epochs: int, *callbacks: Callback, **options: Any) -> tuple[Tagger, Trainer]:
    """Train a tagger; the options are those of a `Tagger`."""
    torch.manual_seed(0)
    model = Tagger(
        data.spec,
        embeddings={
            "tokens": partial(Embedding, embedding_dim=100, word_dropout=0.2),
            "shapes": partial(Embedding, embedding_dim=16),
            "characters": partial(CharacterLSTM, embedding_dim=32, hidden_size=50),
        },
        encoder=partial(LSTM, hidden_size=100, bidirectional=True),
        dropout=0.5,
        optimizer=partial(torch.optim.Adam, lr=3e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0),
        **options,
    )
    trainer = Trainer(
        max_epochs=epochs,
        gradient_clip_val=5.0,
        callbacks=[Progress(), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    return model, trainer


def forbidden_tags(model: Tagger, rows: Dataset) -> int:
    """Count the predicted tags that BIO forbids: an I that continues no span of its type."""
    pairs = [pair for row in model.predict(rows) for pair in pairwise(["O", *row["tags"]])]
    return sum(tag[0] == "I" and tag[2:] != before[2:] for before, tag in pairs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="the training file")
    parser.add_argument("validation", help="the validation file")
    parser.add_argument("test", help="the test file")
    parser.add_argument("--epochs", type=int, default=14, help="passes over the training file (default 14)")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)

    print("1. Spans as tags")
    source = CoNLL(options.train, options.validation, options.test, columns=["tokens", "tags"], extra="drop")
    splits = source.load()
    first = next(row for row in splits["train"] if any(tag[0] == "I" for tag in row["tags"]))
    print(" ".join(f"{word}/{tag}" for word, tag in zip(first["tokens"], first["tags"], strict=True)))
    types = Counter(tag[2:] for tags in splits["train"]["tags"] for tag in tags if tag[0] == "B")
    print(f"{len(splits['train']):,} training sentences with {types.total():,} spans:", dict(types.most_common()))

    print("\n2. Without a CRF")
    data = SequenceDataModule(
        source,
        inputs={
            "tokens": Words(min_frequency=2, lowercase=True),
            "shapes": WordShapes(column="tokens"),
            "characters": WordCharacters(column="tokens"),
        },
        targets="tags",
        max_tokens=256,
    )
    model, _ = fit(data, options.epochs)
    print("forbidden tags in the test predictions:", forbidden_tags(model, splits["test"]))

    print("\n3. With a CRF")
    report = Report(worst=0, folder=str(options.output))
    model, trainer = fit(data, options.epochs, Summary(), report, decoder=CRF)
    print("forbidden tags in the test predictions:", forbidden_tags(model, splits["test"]))
    names = data.spec["targets"]["tags"]["names"]
    draw_transitions(model.decoder, names).savefig(options.output / "transitions.png", dpi=120)

    print("\n4. The report")
    trainer.test(model, data)

    print("\n5. New sentences")
    texts = ["Ada Lovelace flies from London to New York .", "i saw justin bieber on the bbc last night"]
    for text in texts:
        words = text.split()
        print(text)
        for span in model.predict(words)["tags_spans"]:
            print(f"    {span['type']}: {' '.join(words[span['start'] : span['end']])}")


def draw_transitions(crf: CRF, names: Sequence[str]) -> Figure:
    """Draw the score of each tag after each other one; forbidden ones stay empty."""
    scores = crf.transitions.detach().numpy()
    largest = np.abs(scores).max()
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("lightgrey")
    allowed = np.where(crf.allowed_transitions.numpy(), scores, np.nan)
    image = axes.imshow(allowed, cmap="RdBu", vmin=-largest, vmax=largest)
    figure.colorbar(image, label="score of the transition (grey: forbidden)")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="next tag", ylabel="tag", title="Transitions of the CRF")
    return figure


if __name__ == "__main__":
    main()
