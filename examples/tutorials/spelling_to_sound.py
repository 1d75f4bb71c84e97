"""Learn to pronounce words from their spelling, with connectionist temporal classification (CTC).

    python examples/tutorials/spelling_to_sound.py DICTIONARY

The file is a pronouncing dictionary in the format of CMUdict's cmudict.dict. It may be gzipped.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from seqkit import CTCRecognizer, SequenceDataModule
from seqkit.callbacks import Progress, Report, Summary
from seqkit.data import CMUdict, LabelSequences
from seqkit.nn import LSTM, Embedding, Stack, Upsample
from seqkit.optim import WarmupCosine

NEW_WORDS = ["chatbot", "vlogging", "photobomb", "selfie"]


def steps_needed(phones: Sequence[str]) -> int:
    """Return the steps that CTC needs: one for each phone, and a blank between two equal ones."""
    return len(phones) + sum(phone == following for phone, following in pairwise(phones))


def probabilities(model: CTCRecognizer, word: str) -> torch.Tensor:
    """Return the probability of each phone, and last of the blank, at each step: (steps, phones + 1)."""
    row = SequenceDataModule([{"word": word}], spec=model.spec, max_tokens=100, validation_fraction=0)
    batch = row.rows("train", with_targets=False)[[0]]
    model.eval()
    with torch.no_grad():
        return model(batch.inputs).data.softmax(-1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", help="the dictionary")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the training words (default 3)")
    parser.add_argument("--output", type=Path, default=Path("pictures"), help="a folder (default pictures)")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)

    print("1. The data")
    source = CMUdict(options.dictionary)
    splits = source.load()
    print(", ".join(f"{name}: {len(split):,} words" for name, split in splits.items()))
    train = splits["train"]
    several = [row for row, phones in enumerate(train["phones"]) if len(phones) > 1]
    print(f"{len(several):,} training words have several pronunciations, such as")
    for row in train.select(several[:: len(several) // 4]):
        print(f"{row['word']}: {' or '.join(' '.join(phones) for phones in row['phones'])}")

    print("\n2. Enough steps")
    letters = [len(word) for word in train["word"]]
    needed = [min(map(steps_needed, several)) for several in train["phones"]]
    for factor in (1, 2, 3):
        lacking = [row for row in range(len(train)) if needed[row] > factor * letters[row]]
        print(f"{factor} for each letter: too few for {len(lacking):,} words, such as {train[lacking[:4]]['word']}")

    print("\n3. Training")
    data = SequenceDataModule(source, inputs="word", targets={"phones": LabelSequences()}, max_tokens=2048)
    layers = [
        partial(LSTM, hidden_size=128, num_layers=2, bidirectional=True, dropout=0.1),
        partial(Upsample, factor=2, output_size=128),
    ]
    model = CTCRecognizer(
        data.spec,
        embedding=partial(Embedding, embedding_dim=64),
        encoder=partial(Stack, layers=layers),
        optimizer=partial(torch.optim.Adam, lr=4e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0),
    )
    trainer = Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=5.0,
        callbacks=[Progress(), Summary(), Report(worst=3)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)

    print("\n4. The report")
    trainer.test(model, data)

    print("\n5. A beam")
    searching = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    for width in (2, 8):
        model.beam_width = width
        scores = searching.test(model, data, verbose=False)[0]
        phones, words = scores["test_label_error_rate"], scores["test_sequence_error_rate"]
        print(f"beam of {width}: {phones:.2%} of the phones and {words:.2%} of the words are wrong")

    print("\n6. New words")
    model.beam_width = 1
    for word, found in zip(NEW_WORDS, model.predict(NEW_WORDS, scores=True), strict=True):
        phones = zip(found["phones"], found["phones_scores"], strict=True)
        print(f"{word:10}" + "  ".join(f"{phone} {score:.2f}" for phone, score in phones))
    draw_steps(model, NEW_WORDS[0]).savefig(options.output / "steps.png", dpi=120)


def draw_steps(model: CTCRecognizer, word: str) -> Figure:
    """Draw the probabilities of the phones at each step, for those that have some."""
    found = probabilities(model, word)
    labels = (found.amax(0) > 0.1).nonzero()[:, 0].tolist()
    blank = len(model.names)
    shown = sorted(labels, key=lambda label: (label == blank, found[:, label].argmax().item()))
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(found[:, shown].T.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_yticks(range(len(shown)), ["blank" if label == blank else model.names[label] for label in shown])
    axes.set_xticks([2 * place + 0.5 for place in range(len(word))], list(word))
    for place in range(1, len(word)):
        axes.axvline(2 * place - 0.5, color="silver", linewidth=0.8)
    figure.colorbar(image, label="probability")
    return figure


if __name__ == "__main__":
    main()
