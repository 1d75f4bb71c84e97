"""Run the ten lines of the README as a program: learn to tag the words of generated sentences.

python examples/quickstart.py
python examples/quickstart.py --rows 5000 --epochs 4
"""

import argparse
import random
from collections.abc import Sequence
from functools import partial

import datasets
from lightning.pytorch import Trainer
from torch.optim import Adam

from seqkit import SequenceDataModule, Tagger
from seqkit.nn import LSTM, Embedding


def bracketed(rows: int, seed: int = 0) -> datasets.Dataset:
    """Make sentences of 1 to 40 words. A tag says whether a word is inside brackets, so it depends on other words.

    Args:
        rows: Number of sentences.
        seed: The seed of the generator.

    Returns:
        Columns ``words`` and ``tags`` (``out``, ``in`` or ``bracket``), one tag a word.
    """
    draw = random.Random(seed)
    words: list[list[str]] = []
    tags: list[list[str]] = []
    for _ in range(rows):
        sentence = [draw.choice("abcdef()") for _ in range(draw.randint(1, 40))]
        inside = False
        sentence_tags = []
        for word in sentence:
            inside = word == "(" or (inside and word != ")")
            sentence_tags.append("bracket" if word in "()" else "in" if inside else "out")
        words.append(sentence)
        tags.append(sentence_tags)
    return datasets.Dataset.from_dict({"words": words, "tags": tags})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="number of sentences (default 1000)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    options = parser.parse_args(arguments)

    data = SequenceDataModule(
        bracketed(options.rows), inputs="words", targets="tags", max_tokens=512, test_fraction=0.1
    )
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=16),
        encoder=partial(LSTM, hidden_size=32, bidirectional=True),
        optimizer=partial(Adam, lr=1e-2),
    )
    trainer = Trainer(max_epochs=options.epochs, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.test(model, data)


if __name__ == "__main__":
    main()
