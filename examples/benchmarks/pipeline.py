"""Compare whole fits of seqkit with the scripts that people write today, with the same model and data.

    python examples/benchmarks/pipeline.py DIR                     # speed, in several rounds
    python examples/benchmarks/pipeline.py DIR --accuracy          # accuracy, with several seeds

Isolates nothing: a script is compared as a whole, so layers, batches, loss and the copy of rows to a batch all
count. ``DIR`` holds en_ewt-ud-{train,dev}.conllu[.gz] of Universal Dependencies English-EWT. The model is a
BiLSTM tagger: word embedding 100 for words seen twice or more, 200 units a direction, Adam at 2e-3. The
contenders are Lightning with random batches of 32, padded with ``pad_sequence`` and ``ignore_index``; the same
with pack and unpack around ``nn.LSTM``; both again with pools of 50 batches sorted by length; and seqkit, with a
budget of tokens that gives equally many steps an epoch. All start from the same weights. First a check shows that
they compute the same logits.
"""

import random
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer, seed_everything
from measuring import find, options, setting, write_json
from sections.fits import speed_table
from sections.markdown import table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Sampler

from seqkit import SequenceDataModule, Tagger, packed
from seqkit.cli import without_noise
from seqkit.data import CoNLL, Words
from seqkit.nn import LSTM, Embedding

BATCH, POOL = 32, 50
IGNORE = -100


class SortedPools(Sampler[list[int]]):
    """Yield batches from pools of ``POOL`` batches sorted by length, as the usual group-by-length samplers do."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths

    def __len__(self) -> int:
        return -(-len(self.lengths) // BATCH)

    def __iter__(self) -> Iterator[list[int]]:
        rows = torch.randperm(len(self.lengths)).tolist()
        for start in range(0, len(rows), BATCH * POOL):
            pool = sorted(rows[start : start + BATCH * POOL], key=lambda row: -self.lengths[row])
            yield from (pool[i : i + BATCH] for i in range(0, len(pool), BATCH))


class Usual(LightningModule):
    """The usual tagger: padded, optionally packed around the LSTM."""

    def __init__(self, words: int, tags: int, pack: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 100)
        self.lstm = nn.LSTM(100, 200, bidirectional=True, batch_first=True)
        self.head = nn.Linear(400, tags)
        self.pack = pack
        self.right = self.total = 0

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, T, C) of padded words (B, T)."""
        embedded = self.embedding(words)
        if not self.pack:
            return self.head(self.lstm(embedded)[0])
        hidden, _ = self.lstm(pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False))
        return self.head(pad_packed_sequence(hidden, batch_first=True)[0])

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """Return the mean loss over the tokens of the batch."""
        words, tags, lengths = batch
        loss = F.cross_entropy(self(words, lengths).flatten(0, 1), tags.flatten(), ignore_index=IGNORE)
        self.log("train_loss", loss, batch_size=len(words))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """Count the correct tags."""
        words, tags, lengths = batch
        real = tags != IGNORE
        self.right += int((self(words, lengths).argmax(-1) == tags)[real].sum())
        self.total += int(real.sum())

    def on_validation_epoch_end(self) -> None:
        """Log the accuracy over all tokens."""
        self.log("val_accuracy", self.right / max(self.total, 1))
        self.right = self.total = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=2e-3)


def collate(rows: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad words with 0 and tags with ``IGNORE``."""
    words, tags = [row["form"] for row in rows], [row["upos"] for row in rows]
    lengths = torch.tensor([len(word) for word in words])
    return (
        pad_sequence(words, batch_first=True),
        pad_sequence(tags, batch_first=True, padding_value=IGNORE),
        lengths,
    )


class Contenders:
    """All contenders, with one dataset, one vocabulary and, for each seed, one set of initial weights."""

    def __init__(self, folder: Path, limit: int | None) -> None:
        train, dev = (str(find(folder, f"en_ewt-ud-{split}.conllu")) for split in ("train", "dev"))
        splits = CoNLL(train=train, validation=dev).load()
        if limit is not None:
            splits["train"] = splits["train"].select(range(limit))
        self.options: dict[str, Any] = {"inputs": {"form": Words(min_frequency=2)}, "targets": "upos"}
        probe = SequenceDataModule(splits, max_sequences=BATCH, **self.options)
        self.splits, self.spec = splits, probe.spec
        encoded = {split: probe.rows(split).dataset for split in ("train", "validation")}
        # In memory as tensors, so that the time of these scripts is that of their batches, not of reading Arrow.
        self.rows = {split: list(rows.with_format("torch")) for split, rows in encoded.items()}
        self.lengths = [len(row["form"]) for row in self.rows["train"]]
        self.tokens = sum(self.lengths)
        self.max_tokens = self._budget(probe, -(-len(self.lengths) // BATCH))
        self.words = self.spec["inputs"]["form"]["size"]
        self.tags = self.spec["targets"]["upos"]["size"]

    def _budget(self, probe: SequenceDataModule, steps: int) -> int:
        """Return the budget of tokens whose plan comes nearest to a number of steps an epoch."""
        rows = probe.rows("train")
        least = int(rows.lengths.max())
        budgets = range(least, max(least + 1, 8 * self.tokens // steps), 8)

        def distance(budget: int) -> int:
            data = SequenceDataModule(self.splits, spec=self.spec, max_tokens=budget)
            return abs(len(data.sampler(rows, training=True)) - steps)

        low, high = 0, len(budgets) - 1
        while high - low > 2:  # the number of steps falls as the budget grows
            middle = (low + high) // 2
            data = SequenceDataModule(self.splits, spec=self.spec, max_tokens=budgets[middle])
            if len(data.sampler(rows, training=True)) > steps:
                low = middle
            else:
                high = middle
        return min(budgets[low : high + 1], key=distance)

    def names(self) -> list[str]:
        """Return all contenders, seqkit last."""
        return ["padded", "packed", "padded, sorted pools", "packed, sorted pools", "seqkit"]

    def model(self, name: str, seed: int) -> LightningModule:
        """Return a contender's model, with the seed's initial weights."""
        torch.manual_seed(seed)
        usual = Usual(self.words, self.tags, pack=name.startswith("packed"))
        if name != "seqkit":
            return usual
        ours = Tagger(
            self.spec,
            embedding=partial(Embedding, embedding_dim=100),
            encoder=partial(LSTM, hidden_size=200, bidirectional=True),
            optimizer=partial(torch.optim.Adam, lr=2e-3),
        )
        ours.embeddings[0].load_state_dict(usual.embedding.state_dict())
        ours.encoder.load_state_dict(usual.lstm.state_dict())
        ours.head.load_state_dict(usual.head.state_dict())
        return ours

    def loaders(self, name: str, seed: int) -> dict[str, Any]:
        """Return the arguments of ``Trainer.fit`` except the model."""
        if name == "seqkit":
            data = SequenceDataModule(self.splits, spec=self.spec, max_tokens=self.max_tokens, seed=seed)
            return {"datamodule": data}
        train = self.rows["train"]
        if "pools" in name:
            loader = DataLoader(train, batch_sampler=SortedPools(self.lengths), collate_fn=collate)
        else:
            loader = DataLoader(train, batch_size=BATCH, shuffle=True, collate_fn=collate)
        dev = DataLoader(self.rows["validation"], batch_size=BATCH, collate_fn=collate)
        return {"train_dataloaders": loader, "val_dataloaders": dev}

    def check(self) -> float:
        """Return the largest difference between the contenders' logits on the same sentences."""
        chosen = range(min(BATCH, len(self.lengths)))
        words, _, lengths = collate([self.rows["train"][row] for row in chosen])
        batch = SequenceDataModule(self.splits, spec=self.spec, max_sequences=BATCH).rows("train")[list(chosen)]
        usual, tagger = self.model("packed", 0).eval(), self.model("seqkit", 0).eval()
        gaps = []
        with torch.no_grad():
            together = usual(words, lengths)
            ours = packed.unpack(tagger(batch.inputs))
            for row, logits in zip(batch.rows.tolist(), ours, strict=True):
                length = lengths[row : row + 1]
                alone = usual(words[row : row + 1, : int(length)], length)[0]
                gaps += [(logits - alone).abs().max(), (together[row, : int(length)] - alone).abs().max()]
        return float(torch.stack(gaps).max())

    @without_noise()
    def fit(self, name: str, seed: int, epochs: int, *, validate: bool) -> tuple[float, dict[str, float]]:
        """Fit, and return the seconds of training and the last logged values."""
        seed_everything(seed, verbose=False)
        trainer = Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=1.0 if validate else 0,
            num_sanity_val_steps=0,
            check_val_every_n_epoch=epochs,
        )
        loaders = self.loaders(name, seed)
        model = self.model(name, seed)
        start = time.perf_counter()
        trainer.fit(model, **loaders)
        seconds = time.perf_counter() - start
        return seconds, {key: float(value) for key, value in trainer.callback_metrics.items()}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and print the table."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs of each contender (speed)")
    parser.add_argument("--accuracy", action="store_true", help="dev accuracy instead of speed")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each fit (accuracy)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (accuracy)")
    parser.add_argument("--limit", type=int, help="training sentences to use")
    given = parser.parse_args(arguments)

    contenders = Contenders(given.folder, given.limit)
    gap = contenders.check()
    if gap > 1e-4:
        raise SystemExit(f"the contenders differ by {gap} on the same sentences: nothing to compare")
    names = contenders.names()
    if given.accuracy:
        results = {name: [] for name in names}
        for seed in given.seeds:
            for name in names:
                _, logged = contenders.fit(name, seed, given.epochs, validate=True)
                results[name].append(100 * logged["val_accuracy"])
        title = f"dev accuracy after {given.epochs} epochs, {len(given.seeds)} seeds"
    else:
        order = list(names)
        results = {name: [] for name in names}
        for number in range(given.rounds + 1):
            random.Random(number).shuffle(order)
            for name in order:
                seconds, _ = contenders.fit(name, number, 1, validate=False)
                if number:  # the first round warms up
                    results[name].append(contenders.tokens / seconds)
        title = f"tokens/s of fit, {given.rounds} epochs each in turn"

    report = {
        "what": title,
        "sentences": len(contenders.lengths),
        "tokens": contenders.tokens,
        "max_tokens": contenders.max_tokens,
        "largest difference of logits": gap,
        **setting("datasets"),
        "results": results,
    }
    print(f"{title}\n\n{_accuracy_table(results) if given.accuracy else speed_table(results)}")
    write_json(given.output, report)
    return report


def _accuracy_table(results: dict[str, list[float]]) -> str:
    rows = [
        [name, f"{statistics.mean(v):.2f}", f"{statistics.stdev(v) if len(v) > 1 else 0:.2f}"]
        for name, v in results.items()
    ]
    return table(["script", "mean", "standard deviation"], rows)


if __name__ == "__main__":
    main()
