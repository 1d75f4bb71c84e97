"""Fit a tagger on a Hugging Face dataset: a generated one, one on the hub, or one in a folder or file.

    python examples/huggingface_fit.py
    python examples/huggingface_fit.py lhoestq/conll2003 --inputs tokens --targets ner_tags --epochs 3
    python examples/huggingface_fit.py DIR/saved_to_disk
    python examples/huggingface_fit.py DIR/train.parquet

Each row of the dataset needs a list of words and a list of labels of the same length.
"""

import argparse
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import datasets
from lightning.pytorch import Trainer
from torch.optim import Adam

from seqkit import SequenceDataModule, Tagger
from seqkit.data import Files, Hub, SavedDataset, Source, Words
from seqkit.nn import LSTM, Embedding

TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
NAMES = {"PER": ["Ada", "Lin", "Omar", "Ruth"], "ORG": ["Acme", "Union", "Bank"], "LOC": ["Oslo", "Lima", "Kyoto"]}
WORDS = ["the", "a", "saw", "met", "in", "of", "from", "went", "said", "today", "old", "new", "."]


def small_ner(rows: int, seed: int = 0) -> datasets.DatasetDict:
    """Make sentences of 1 to 30 words with the features of CoNLL-2003.

    Args:
        rows: Number of training rows; validation and test get half as many each.
        seed: The seed of the generator.

    Returns:
        Splits with the columns ``id``, ``tokens`` and ``ner_tags``, one `ClassLabel` a word.
    """
    draw = random.Random(seed)
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=TAGS)),
        }
    )

    def split(count: int) -> datasets.Dataset:
        made = [_sentence(draw) for _ in range(count)]
        columns = {
            "id": [str(row) for row in range(count)],
            "tokens": [words for words, _ in made],
            "ner_tags": [tags for _, tags in made],
        }
        return datasets.Dataset.from_dict(columns, features)

    return datasets.DatasetDict(train=split(rows), validation=split(rows // 2), test=split(rows // 2))


def source_of(dataset: str) -> Source:
    """Choose the source: a folder that ``save_to_disk`` wrote, a file, or a name on the hub."""
    if Path(dataset).is_dir():
        return SavedDataset(dataset)
    if Path(dataset).is_file():
        return Files(train=dataset)
    return Hub(dataset)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help="hub name, folder or file; by default a generated one")
    parser.add_argument("--inputs", default="tokens", help="the column of words (default tokens)")
    parser.add_argument("--targets", default="ner_tags", help="the column of labels (default ner_tags)")
    parser.add_argument("--rows", type=int, default=500, help="generated training rows (default 500)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the data (default 3)")
    options = parser.parse_args(arguments)

    data = SequenceDataModule(
        source_of(options.dataset) if options.dataset else small_ner(options.rows),
        inputs={options.inputs: Words(min_frequency=2, lowercase=True)},
        targets=options.targets,
        max_tokens=512,
        overlong="solo",
    )
    model = Tagger(
        data.spec,
        embedding=partial(Embedding, embedding_dim=50),
        encoder=partial(LSTM, hidden_size=64, bidirectional=True),
        dropout=0.3,
        optimizer=partial(Adam, lr=1e-2),
    )
    trainer = Trainer(max_epochs=options.epochs, logger=False, enable_checkpointing=False, gradient_clip_val=5.0)
    trainer.fit(model, data)
    if "test" in data.splits:
        trainer.test(model, data)


def _sentence(draw: random.Random) -> tuple[list[str], list[str]]:
    words: list[str] = []
    tags: list[str] = []
    size = draw.randint(1, 30)
    while len(words) < size:
        if draw.random() < 0.3:
            kind = draw.choice(list(NAMES))
            for prefix in ("B", "I")[: draw.randint(1, 2)]:
                words.append(draw.choice(NAMES[kind]))
                tags.append(f"{prefix}-{kind}")
        words.append(draw.choice(WORDS))
        tags.append("O")
    return words, tags


if __name__ == "__main__":
    main()
