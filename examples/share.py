"""Save a trained model in a folder with its model card, load it from there, and predict with it.

python examples/share.py
python examples/share.py --folder my-tagger
python examples/share.py --push me/my-tagger

A folder needs no network. To push a model to the Hugging Face Hub, log in first: hf auth login
"""

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import datasets
from lightning.pytorch import Trainer
from torch.optim import Adam

from seqkit import Classifier, SequenceDataModule
from seqkit.nn import LSTM, Embedding

REVIEWS = [("a good film", "good"), ("so very good", "good"), ("a bad film", "bad"), ("bad , very bad", "bad")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the example with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the model goes (default: a temporary folder)")
    parser.add_argument("--push", metavar="ID", help="also push the model to the Hugging Face Hub")
    options = parser.parse_args(arguments)

    rows = datasets.Dataset.from_dict(
        {"words": [text.split() for text, _ in REVIEWS] * 50, "label": [label for _, label in REVIEWS] * 50}
    )
    data = SequenceDataModule(rows, inputs="words", targets="label", max_tokens=128, test_fraction=0.1)
    model = Classifier(
        data.spec,
        embedding=partial(Embedding, embedding_dim=8),
        encoder=partial(LSTM, hidden_size=8),
        optimizer=partial(Adam, lr=3e-2),
    )
    trainer = Trainer(max_epochs=10, logger=False, enable_checkpointing=False)
    trainer.fit(model, data)
    trainer.test(model, data)

    card = {"data": "four made-up reviews", "language": "en", "license": "cc0-1.0"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "reviews"
        model.save_pretrained(folder, **card)  # the scores in the card are those of the test
        print((folder / "README.md").read_text(encoding="utf-8"))
        loaded = Classifier.from_pretrained(folder)
    texts = ["so good", "a very bad film"]
    for text, found in zip(texts, loaded.predict([text.split() for text in texts]), strict=True):
        print(f"{text}: {found['label']}")
    if options.push is not None:
        print(model.push_to_hub(options.push, **card))


if __name__ == "__main__":
    main()
