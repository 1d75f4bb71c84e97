"""A keyboard that suggests the next character while a text is typed.

    python examples/live_keyboard.py
    python examples/live_keyboard.py --text notes.txt --type "the "

Trains a small language model of characters on generated sentences, or on the lines of a text, and types a text:
before each key it shows the three most probable characters. The model reads each character once: it keeps its state
between two keys.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import datasets
import torch
from lightning.pytorch import Trainer

from seqkit import LanguageModel, SequenceDataModule
from seqkit.nn import GRU, Embedding

SUGGESTIONS = 3


class Key(NamedTuple):
    """A key that is pressed: the text before it, the suggestions with their probabilities, and the key."""

    before: str
    suggestions: dict[str, float]
    pressed: str


def sentences(count: int, seed: int = 0) -> list[str]:
    """Make sentences of a few words."""
    draw = random.Random(seed)
    who = ["the teacher", "my sister", "a stranger", "the engineer", "our neighbour"]
    does = ["reads", "forgets", "remembers", "writes", "translates"]
    what = ["a letter", "the newspaper", "an old story", "the manual", "every question"]
    when = ["today", "in the evening", "before breakfast", "on the train"]
    return [" ".join(draw.choice(part) for part in (who, does, what, when)) + "." for _ in range(count)]


def train(lines: Sequence[str], epochs: int) -> LanguageModel:
    """Train a language model of the characters of some lines."""
    rows = datasets.Dataset.from_dict({"text": list(lines)})
    data = SequenceDataModule(rows, inputs="text", max_tokens=2048, overlong="truncate", validation_fraction=0)
    model = LanguageModel(
        data.spec,
        encoder=partial(GRU, hidden_size=96),
        embedding=partial(Embedding, embedding_dim=24),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(model, data)
    return model


def typed(model: LanguageModel, text: str) -> Iterator[Key]:
    """Type a text, key by key."""
    stream = model.stream()
    for position, pressed in enumerate(text):
        yield Key(text[:position], stream.next_tokens(SUGGESTIONS), pressed)
        stream.push(pressed)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="a text file to learn from; by default generated sentences")
    parser.add_argument("--type", metavar="TEXT", help="the text to type; by default a sentence like the others")
    parser.add_argument("--rows", type=int, default=400, help="number of generated sentences")
    parser.add_argument("--epochs", type=int, default=6, help="passes over the text")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    if options.text:
        lines = [line for line in options.text.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        lines = sentences(options.rows)
    model = train(lines, options.epochs)
    keys = list(typed(model, options.type or (lines[0] if options.text else sentences(1, seed=1)[0])))
    for key in keys:
        shown = "  ".join(f"{character!r} {share:.0%}" for character, share in key.suggestions.items())
        print(f"{key.before + '▁':40} {shown}")
    hits = sum(key.pressed in key.suggestions for key in keys)
    print(f"{hits} of {len(keys)} keys were among the {SUGGESTIONS} suggestions")


if __name__ == "__main__":
    main()
