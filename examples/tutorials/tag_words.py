"""Tag each word of a sentence with its part of speech, by a bidirectional LSTM of words, shapes and characters.

    python examples/tutorials/tag_words.py TRAIN VALIDATION TEST

The files are CoNLL-U: en_ewt-ud-train.conllu, en_ewt-ud-dev.conllu and en_ewt-ud-test.conllu of UD_English-EWT, or
those of another treebank of Universal Dependencies. They may be gzipped.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from datasets import Dataset
from lightning.pytorch import Trainer

from seqkit import SequenceDataModule, Tagger
from seqkit.callbacks import Parts, Progress, Report, Summary
from seqkit.data import CoNLL, WordCharacters, Words, WordShapes
from seqkit.nn import LSTM, CharacterLSTM, Embedding
from seqkit.optim import WarmupCosine


def words_and_tags(split: Dataset) -> list[tuple[str, str]]:
    """Return all words of a split, each with its tag."""
    pairs = zip(split["form"], split["upos"], strict=True)
    return [pair for words, tags in pairs for pair in zip(words, tags, strict=True)]


def baseline(train: Dataset, test: Dataset) -> float:
    """Return the accuracy of the tag that each word has most often in training, and of NOUN for new words."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, tag in words_and_tags(train):
        counts[word][tag] += 1
    usual = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    right = [usual.get(word, "NOUN") == tag for word, tag in words_and_tags(test)]
    return sum(right) / len(right)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the tutorial with these command-line arguments, by default those of the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="the training file")
    parser.add_argument("validation", help="the validation file")
    parser.add_argument("test", help="the test file")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training file (default 5)")
    parser.add_argument("--output", default="pictures", help="the folder for the report (default pictures)")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)

    print("1. The data")
    source = CoNLL(train=options.train, validation=options.validation, test=options.test)
    splits = source.load()
    for name, split in splits.items():
        print(f"{name}: {len(split):,} sentences, {len(words_and_tags(split)):,} words")
    sentence = splits["train"][2]
    print(" ".join(f"{word}/{tag}" for word, tag in zip(sentence["form"], sentence["upos"], strict=True)))
    print(f"each word with its most frequent tag: test accuracy {baseline(splits['train'], splits['test']):.4f}")

    print("\n2. A batch")
    data = SequenceDataModule(
        source,
        inputs={
            "form": Words(min_frequency=2, lowercase=True),
            "shapes": WordShapes(column="form"),
            "characters": WordCharacters(column="form"),
        },
        targets="upos",
        max_tokens=600,
    )
    batch = data.rows("train")[[0, 1, 2]]
    words = batch.inputs["form"]
    print(f"three sentences of {[len(row) for row in splits['train'][:3]['form']]} words: {len(words.data)} ids")
    print(f"words in each time step: {words.batch_sizes.tolist()}")

    print("\n3. Training")
    model = Tagger(
        data.spec,
        embeddings={
            "form": partial(Embedding, embedding_dim=100, word_dropout=0.1),
            "shapes": partial(Embedding, embedding_dim=16),
            "characters": partial(CharacterLSTM, embedding_dim=32, hidden_size=48),
        },
        encoder=partial(LSTM, hidden_size=160, bidirectional=True),
        dropout=0.4,
        optimizer=partial(torch.optim.Adam, lr=4e-3),
        lr_scheduler=partial(WarmupCosine, warmup=0),
    )
    trainer = Trainer(
        max_epochs=options.epochs,
        gradient_clip_val=5.0,
        callbacks=[Parts(), Progress(), Summary(), Report(worst=3, folder=options.output)],
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(model, data)

    print("\n4. The report")
    trainer.test(model, data)

    print("\n5. New sentences")
    texts = ["I book a flight and read a book .", "The zorgs blickered loudly in Wugtown ."]
    for text, found in zip(texts, model.predict([text.split() for text in texts], scores=True), strict=True):
        for word, tag, score in zip(text.split(), found["upos"], found["upos_scores"], strict=True):
            print(f"{word:12} {tag:6} {score:6.1%}")
        print()


if __name__ == "__main__":
    main()
