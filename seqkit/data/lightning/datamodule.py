"""The Lightning data module: from a source to loaders of packed batches."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from seqkit.batch import Batch
from seqkit.class_paths import allow
from seqkit.data.batching.length_sort import EMPTY, OVERLONG
from seqkit.data.batching.plan import BUDGETS, MAX_BUDGET, StepCost
from seqkit.data.batching.sampler import LengthBucketSampler
from seqkit.data.continuous import BPTTSampler, Continuous, ContinuousText
from seqkit.data.lightning.checks import AnySource, check_fractions, check_source, check_split, check_train_stream
from seqkit.data.lightning.columns import Columns, allowed_encoders, column_roles, name_columns, row_lengths
from seqkit.data.lightning.encoded_splits import EncodedSplits
from seqkit.data.lightning.label_checks import check_labels
from seqkit.data.lightning.loaders import (
    ModuleStreamLoader,
    PlannedLoader,
    move_batch,
    overfit_loader,
    overfits,
    planned_loader,
    validates,
)
from seqkit.data.lightning.resume import ResumableDataModule, current_epoch, start_training
from seqkit.data.lightning.splits import load_splits, needed_splits, read_weights
from seqkit.data.lightning.unseen import UNSEEN_LABELS, counted_labels
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.unseen import UnseenLabel
from seqkit.options import MAX_SEED, choice, flag, instance, integer, names, optional_integer
from seqkit.packed import pins_memory


class SequenceDataModule(ResumableDataModule):
    """Load rows, encode them, and pack batches of rows of similar length.

    Every loader yields a :class:`~seqkit.batch.Batch` gathered straight from Arrow. Training batches are shuffled
    within length buckets under a budget. Evaluation yields every row exactly once, on any number of ranks; a row
    longer than the budget is a batch of its own.

    The data spec (vocabularies, label names, sizes, standardisation) is learned from the training split and is
    plain-typed in :attr:`spec`. A model is built from it and keeps it in its checkpoint.

    Args:
        source: The source of the rows, or the rows themselves, in any form of :func:`~seqkit.data.as_dataset`: the
            training split, or a dict of splits.
        inputs: The input columns; a dict gives each its :class:`~seqkit.data.Encoder`, or None for the default of
            the column's type. The lengths of the first one count. Several inputs may read one column, such as the
            words, their characters and their shapes: the encoder names it (``column``).
        targets: The target columns, likewise.
        unaligned: Input columns whose sequences have lengths of their own, such as the second text of a pair. One
            that is encoded like the main input shares its vocabulary, learned from both columns. The budget holds
            for each.
        max_tokens: Budget of a batch on one rank, in tokens.
        max_sequences: Budget of a batch on one rank, in sequences; at least one of the two is needed.
        budget: What ``max_tokens`` limits: the packed tokens (``packed``) or B × T (``padded``).
        overlong: How a training row longer than ``max_tokens`` is treated: ``raise``, ``drop``, ``truncate`` to
            ``max_tokens`` (tags of a span that this divides do not count), or ``solo``, a batch of its own.
        empty: How a row without tokens is treated: ``raise`` or ``drop``.
        validation_fraction: Share of the training rows held out if the source has no validation split.
        test_fraction: Share of the training rows held out if the source has no test split.
        unseen_labels: What a label that the training split lacks is in evaluation: an error of the model, which
            cannot predict it (``count``; a warning names it, and the loss leaves it out), or an error that stops a
            fit before its first step (``error``). Of an input such a label is left out.
        predict_split: The split that ``predict`` reads; its target columns may be missing.
        seed: Seed of the choice of held-out rows and of the shuffling.
        num_workers: Processes that gather batches; gathering is fast enough for 0.
        streaming: Read the source as a stream (see :class:`~seqkit.data.PackedStream` for the differences). An
            ``IterableDataset`` is always a stream. Nothing is held out of a stream, and the data spec is learned
            from its first ``pool`` rows.
        pool: Number of rows of a stream that are read together.
        weights: A column of the training split with one number a row: rows are drawn in proportion to it, as many
            in an epoch as there are rows. Not for streams, like the next two.
        batch_multiple: The number of sequences of a training batch is a multiple of this.
        longest_first: Begin each training epoch with the heaviest possible batch.
        cost: What the plan of batches minimises.
        continuous: Read all rows as one continuous text, for a language model: their column is the only one, an
            input. The held-out rows are the last ones. Budget and treatment of rows then hold only for ``predict``,
            which reads row by row.
        spec: A data spec learned before, such as that of a checkpoint. Nothing is learned then, and ``inputs`` and
            ``targets`` default to its columns.
        trust: Names of modules, such as ``my_project``, whose encoders ``spec`` may name. Those of seqkit and those
            that this program has as objects need no consent.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument has a wrong value, neither ``inputs`` nor ``spec`` is given, ``spec`` names an
            encoder of another module, or ``continuous`` is combined with ``streaming``.
    """

    def __init__(
        self,
        source: AnySource,
        inputs: Columns | None = None,
        targets: Columns | None = None,
        *,
        max_tokens: int | None = None,
        max_sequences: int | None = None,
        budget: Literal["packed", "padded"] = "packed",
        overlong: Literal["raise", "drop", "truncate", "solo"] = "raise",
        empty: Literal["raise", "drop"] = "raise",
        validation_fraction: float = 0.1,
        test_fraction: float = 0.0,
        unseen_labels: Literal["count", "error"] = "count",
        predict_split: str = "test",
        seed: int = 0,
        num_workers: int = 0,
        streaming: bool = False,
        pool: int = 10_000,
        weights: str | None = None,
        batch_multiple: int = 1,
        longest_first: bool = False,
        cost: StepCost | None = None,
        continuous: Continuous | None = None,
        spec: dict[str, Any] | None = None,
        unaligned: str | Sequence[str] = (),
        trust: str | Sequence[str] = (),
    ) -> None:
        super().__init__()
        if streaming and continuous is not None:
            raise ValueError("continuous text needs all rows in their order; set streaming=False, or no continuous")
        self.source = check_source(source)
        self.inputs, self.targets = name_columns(inputs, targets, spec)
        self.unaligned = names("unaligned", unaligned)
        self.max_tokens = optional_integer("max_tokens", max_tokens, 1, MAX_BUDGET)
        self.max_sequences = optional_integer("max_sequences", max_sequences, 1, MAX_BUDGET)
        self.budget = choice("budget", budget, BUDGETS)
        self.overlong = choice("overlong", overlong, OVERLONG)
        self.empty = choice("empty", empty, EMPTY)
        self.validation_fraction, self.test_fraction = check_fractions(validation_fraction, test_fraction)
        self.unseen_labels = choice("unseen_labels", unseen_labels, UNSEEN_LABELS)
        self.predict_split = check_split("predict_split", predict_split, self.source)
        self.seed = integer("seed", seed, 0, MAX_SEED)
        self.num_workers = integer("num_workers", num_workers, 0)
        self.streaming = flag("streaming", streaming)
        self.pool = integer("pool", pool, 1)
        self.weights = instance("weights", weights, str)
        self.batch_multiple = integer("batch_multiple", batch_multiple, 1, MAX_BUDGET)
        self.longest_first = flag("longest_first", longest_first)
        self.cost = instance("cost", cost, StepCost)
        self.continuous = instance("continuous", continuous, Continuous)
        self._spec = spec
        self._encoder_classes = allowed_encoders(self.inputs, self.targets, spec, trust)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state in another process, and let it use the same encoders."""
        self.__dict__.update(state)
        allow(*self._encoder_classes)

    @property
    def splits(self) -> dict[str, Any]:
        """The source's splits; missing ones are held out of its training rows.

        Raises:
            ValueError: No training row would be left.
        """
        return self._encoded.splits

    @property
    def spec(self) -> dict[str, Any]:
        """The data spec: for each column of ``inputs`` and ``targets`` its encoder and sizes, as plain types.

        Raises:
            ValueError: There is no training split to learn from, or a column is missing or has no known type.
        """
        return self._encoded.spec if self._spec is None else self._spec

    def rows(self, split: str, *, training: bool = False, with_targets: bool = True) -> RaggedRows:
        """Return the encoded rows of a split: ``rows("train")[[3, 1, 2]]`` is a packed Batch.

        Args:
            split: ``train``, ``validation``, ``test`` or another split of the source.
            training: Whether over-long rows are cut if ``overlong`` is ``truncate``.
            with_targets: Whether the batches contain the targets.

        Raises:
            ValueError: The source has no such split, or a value cannot be encoded (the message names its row).
        """
        options = self._encoding(split, training=training, with_targets=with_targets)
        return RaggedRows(
            self._encoded.rows(split, **options),
            **column_roles(self.spec, self.overlong, with_targets=with_targets),
            max_length=options["cut_length"],
            source=self._encoded.sources[split],
        )

    def unseen(self, split: str) -> dict[str, list[UnseenLabel]]:
        """Return, by input and target, the labels of a split that training lacks; those of a stream are unknown."""
        return self._encoded.unseen(split)

    def sampler(
        self, rows: RaggedRows, *, training: bool = False, single_rank: bool = False
    ) -> LengthBucketSampler:
        """Return the sampler of batches of some rows on this rank.

        Args:
            rows: The result of :meth:`rows`.
            training: Whether batches are shuffled, and over-long rows treated by ``overlong``. Evaluation yields
                every row once and in full.
            single_rank: Whether this process gets all batches, even if there are several ranks.
        """
        with rows.source.name_errors():
            weights = read_weights(self.splits["train"], self.weights) if training and self.weights else None
            sampler = LengthBucketSampler(
                row_lengths(rows, self.spec),
                **self._batch_options(training=training) | ({"num_replicas": 1, "rank": 0} if single_rank else {}),
                weights=weights,
                batch_multiple=self.batch_multiple if training else 1,
                longest_first=self.longest_first and training,
            )
        for reason, count in sampler.dropped.items():
            if count:
                rank_zero_info(f"{count} of {len(rows)} rows dropped: {reason}")
        return sampler

    def prepare_data(self) -> None:
        """Encode rows on disk for all ranks: Lightning calls this on one rank of each node, and the others wait.

        Rows in memory are encoded in each process, and kept until the end of the stage.
        """
        trainer: Any = self.trainer
        if trainer is not None and trainer.world_size > 1:
            for split, with_targets in needed_splits(trainer, self.predict_split).items():
                options = self._encoding(split, training=split == "train", with_targets=with_targets)
                self._encoded.prepare(split, **options)

    def setup(self, stage: str) -> None:
        """Check the labels of the splits that the stage reads, in a fit of all splits.

        Raises:
            RowError: A label is refused, or the order of a training row's tags.
        """
        read = {"validate": "validation", "test": "test", "predict": self.predict_split}
        for split in self.splits if stage == "fit" else [read[stage]]:
            check_labels(self._encoded, split, self.unseen_labels, self.trainer, with_targets=stage != "predict")

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the training split, shuffled, from the position of a resumed run.

        Raises:
            ValueError: The training split is a stream, and an option needs all rows at once.
        """
        self._train_loader = None
        loader = self._loader("train", training=True)
        if not overfits(self.trainer):
            self._train_loader = loader
            start_training(loader, current_epoch(self), self._resume_state)
        return loader

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Return the loader of the validation split; in a fit, an empty list if there is no such split."""
        return self._loader("validation") if validates(self.trainer) or "validation" in self.splits else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test split."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of ``predict_split``, without targets."""
        return self._loader(self.predict_split, with_targets=False)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Move a batch to a device."""
        return move_batch(batch, device)

    def teardown(self, stage: str) -> None:
        """Forget the encoded rows, and after a fit the state: the next fit starts from the beginning."""
        if "_encoded" in vars(self):
            self._encoded.release()
        super().teardown(stage)

    @cached_property
    def _encoded(self) -> EncodedSplits:
        splits, sources, held_out = load_splits(
            self.source,
            streaming=self.streaming,
            fractions={"test": self.test_fraction, "validation": self.validation_fraction},
            shuffle=self.continuous is None,
            seed=self.seed,
        )
        learned = self.inputs or {}, self.targets or {}, self.unaligned, self.pool, self._spec
        return EncodedSplits(splits, sources, held_out, *learned)

    def _batch_options(self, *, training: bool) -> dict[str, Any]:
        """Return the arguments that samplers and streams share."""
        max_tokens = self.max_tokens
        if max_tokens is None and self.max_sequences is None and self.continuous is not None:
            max_tokens = self.continuous.batch_size * self.continuous.bptt
        return {
            "max_tokens": max_tokens,
            "max_sequences": self.max_sequences,
            "budget": self.budget,
            "shuffle": training,
            "seed": self.seed,
            "overlong": self.overlong if training and self.continuous is None else "solo",
            "empty": self.empty,
            "cost": self.cost,
        }

    def _loader(
        self, split: str, *, training: bool = False, with_targets: bool = True
    ) -> PlannedLoader | ModuleStreamLoader:
        if self._encoded.is_stream(split):
            return self._stream_loader(split, training=training, with_targets=with_targets)
        overfit = overfits(self.trainer)
        plan = self._plan(split, training=training, with_targets=with_targets, single_rank=overfit)
        loader = (overfit_loader if overfit else planned_loader)(*plan, self.num_workers, self.seed)
        loader.unseen_labels = self._encoding(split, training=training, with_targets=with_targets)["unseen"]
        return loader

    def _stream_loader(self, split: str, *, training: bool, with_targets: bool = True) -> ModuleStreamLoader:
        if training:
            whole = self.weights is not None or self.continuous is not None
            check_train_stream(whole or self.batch_multiple > 1 or self.longest_first, self.trainer)
        options = self._encoding(split, training=training, with_targets=with_targets)
        stream = self._encoded.stream(
            split,
            **options,
            unseen_labels=self.unseen_labels,
            trainer=self.trainer,
            **column_roles(self.spec, self.overlong, with_targets=with_targets),
            **self._batch_options(training=training),
        )
        loader = ModuleStreamLoader(
            stream, num_workers=self.num_workers, pin_memory=pins_memory(), epoch=partial(current_epoch, self)
        )
        if not with_targets:
            loader.require_one_process()
        loader.unseen_labels = options["unseen"]
        return loader

    def _encoding(self, split: str, *, training: bool, with_targets: bool) -> dict[str, Any]:
        unseen = counted_labels(self._encoded, split, self.unseen_labels, self.trainer, with_targets=with_targets)
        cut_length = self.max_tokens if training and self.overlong == "truncate" else None
        return {"with_targets": with_targets, "unseen": unseen, "cut_length": cut_length}

    def _plan(
        self, split: str, *, training: bool, with_targets: bool, single_rank: bool
    ) -> tuple[RaggedRows | ContinuousText, LengthBucketSampler | BPTTSampler]:
        """Return a split's rows and their sampler, or its continuous text and the sampler of steps."""
        if self.continuous is None or not with_targets:
            rows = self.rows(split, training=training, with_targets=with_targets)
            return rows, self.sampler(rows, training=training, single_rank=single_rank)
        text = self._encoded.text(split, self.continuous, training=training, single_rank=single_rank)
        return text, BPTTSampler(text, self.continuous, training=training, seed=self.seed)
