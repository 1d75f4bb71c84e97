"""Learn to write like a text, character by character, with a GRU.

    python examples/tutorials/language_model.py TEXT

TEXT is a plain text of about a million characters, such as input.txt of Tiny Shakespeare. It may be gzipped.
"""

import argparse
import lzma
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from seqkit import LanguageModel, SequenceDataModule
from seqkit.callbacks import Progress, Summary
from seqkit.data import Continuous, Text
from seqkit.nn import GRU, Embedding
from seqkit.optim import WarmupCosine


def bits_by_frequency(train: str, test: str) -> float:
    """Return the bits per character of a model that knows only how frequent each character is."""
    counts = Counter(train)
    size = counts.total() + len(set(test) - set(train))
    return sum(-math.log2(max(counts[character], 1) / size) for character in test) / len(test)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="a text file")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the text (default 5)")
    parser.add_argument("--prompt", default="ROMEO:\n", help="the beginning of generated texts")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    print("1. One long text")
    source = Text(train=options.text, test=0.1, lines=False)
    train, test = (source.load()[split]["text"][0] for split in ("train", "test"))
    print(f"train: {len(train):,} characters, {len(set(train))} different ones; test: {len(test):,}")
    print(f"bits per character if all are equally likely: {math.log2(len(set(train))):.2f}")
    print(f"by the frequency of each character: {bits_by_frequency(train, test):.2f}")
    print(f"compressed by xz: {8 * len(lzma.compress(test.encode())) / len(test):.2f}")

    print("\n2. Training")
    data = SequenceDataModule(
        source,
        inputs="text",
        continuous=Continuous(batch_size=64, bptt=100, append_eos=False),
        validation_fraction=0,
    )
    model = LanguageModel(
        data.spec,
        embedding=partial(Embedding, embedding_dim=64),
        encoder=partial(GRU, hidden_size=256),
        output_dropout=0.1,
        optimizer=partial(torch.optim.Adam, lr=5e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0.05),
    )
    trainer = Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        callbacks=[Progress(), Summary()],
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)

    print("\n3. The test")
    trainer.test(model, data)

    print("\n4. Generated texts")
    for temperature in (0.3, 0.8, 1.5):
        text = model.generate([options.prompt], max_tokens=250, temperature=temperature, seed=1, may_end=False)[0]
        print(f"--- temperature {temperature}\n{text}")

    print("\n5. Scores")
    sentences = ["What say you to this, my noble lord?", "What you say noble to, lord this my?", "See you at five!"]
    lines = [f"\n{sentence}\n" for sentence in sentences]  # read as lines of the text
    found = model.predict(lines)
    for line, row in zip(lines, found, strict=True):
        print(f"{bits(row['nll']):.2f} bits per character: {line.strip()}")
    draw_bits(lines, [row["nll"] for row in found]).savefig(options.output / "bits.png", dpi=120)


def bits(nll: Sequence[float]) -> float:
    """Return the mean bits of the characters after the first."""
    return sum(nll[1:]) / len(nll[1:]) / math.log(2)


def draw_bits(lines: Sequence[str], scores: Sequence[Sequence[float]]) -> Figure:
    """Draw the bits of each character, one row a line."""
    figure = Figure(figsize=(9, 1.7 * len(lines)), layout="constrained")
    for axes, line, nll in zip(figure.subplots(len(lines), sharey=True), lines, scores, strict=True):
        text = line[1:].replace("\n", "↵")
        axes.bar(range(len(text)), [value / math.log(2) for value in nll[1:]])
        axes.set_xticks(range(len(text)), text)
        axes.set_ylabel("bits")
    return figure


if __name__ == "__main__":
    main()
