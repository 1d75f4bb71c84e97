"""From a source to loaders of packed batches: the Lightning data module."""

import math
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader, SequentialSampler

from seqkit.batch import Batch
from seqkit.data.batching.plan import StepCost
from seqkit.data.batching.sampler import LengthBucketSampler
from seqkit.data.continuous import BPTTSampler, Continuous, ContinuousText, concatenate_rows
from seqkit.data.encoders import Encoder, encode_dataset, encode_table, is_vector, learn_spec, source_columns
from seqkit.data.lightning.loaders import (
    EpochLength,
    ModuleStreamLoader,
    PlannedBatches,
    PlannedLoader,
    as_it_is,
    moved,
)
from seqkit.data.rows.lengths import lengths
from seqkit.data.rows.packed_rows import RaggedRows
from seqkit.data.sources import Source, to_streams
from seqkit.data.streaming.stream import PackedStream, first_rows

Columns = str | Sequence[str] | dict[str, Encoder | None]


class SequenceDataModule(LightningDataModule):
    """Load, encode, bucket and pack.

    Every loader yields a :class:`~seqkit.batch.Batch` gathered straight from Arrow. In training, batches are
    shuffled within length buckets under a budget; in evaluation every row comes exactly once, whatever the number
    of ranks, and a row longer than the budget is a batch of its own.

    What the data decides (vocabularies, label names, sizes, standardisation) is learned from the training split and
    is plain-typed in :attr:`spec`; a model is built from it and carries it in its checkpoint.

    Args:
        source: Where the rows come from, or the rows themselves; a ``Dataset`` is a training split.
        inputs: The input columns; a dict gives each its :class:`~seqkit.data.Encoder`, or None for the one that
            fits the column's type. The first is the main one, whose lengths count. Several inputs may read one
            column, such as the words, their characters and their shapes: the encoder says which (``column``).
        targets: The target columns, likewise.
        unaligned: Input columns whose sequences have lengths of their own, such as the second text of a pair. One
            that is encoded as the main input is shares what is learned, from both columns. A budget holds for each.
        max_tokens: Budget of a batch on one rank, in tokens.
        max_sequences: Budget of a batch on one rank, in sequences; one of the two is needed.
        budget: What ``max_tokens`` caps: the tokens that are there (``packed``) or B × T (``padded``).
        overlong: What to do with a training row longer than ``max_tokens``: ``raise``, ``drop``, ``truncate`` to
            ``max_tokens``, or ``solo``, a batch of its own.
        empty: What to do with a row without tokens: ``raise`` or ``drop``.
        validation_fraction: Share of the training rows held out where the source has no validation split.
        test_fraction: Share of the training rows held out where the source has no test split.
        predict_split: The split that ``predict`` reads; its target columns may be missing.
        seed: Of the held-out rows and of the shuffling.
        num_workers: Processes that gather batches; the gather is fast enough for 0.
        streaming: Read the source as a stream (:class:`~seqkit.data.PackedStream` says what is weaker then). An
            ``IterableDataset`` as source is one in any case. Nothing is held out of a stream, and what the data
            decides is learned from its first ``pool`` rows.
        pool: Rows of a stream that are read together.
        weights: A column of the training rows with a number each: rows are drawn in proportion to it, as many an
            epoch as there are rows. This and the next three: not from a stream, but for ``cost``.
        batch_multiple: Number of sequences of a training batch is a multiple of it.
        longest_first: Begin each training epoch with the heaviest batch there can be.
        cost: What the plan of batches minimises.
        continuous: Read all rows, one after the other, as one continuous text, for a language model: their column
            is the only one, in inputs. What is held out are the last rows. Neither a budget nor a policy for rows
            counts then, but for ``predict``, which goes row by row.
        spec: A spec learned before, a checkpoint's for instance; nothing is learned then, and ``inputs`` and
            ``targets`` default to its columns.
    """

    def __init__(
        self,
        source: Source | DatasetDict | Dataset | IterableDatasetDict | IterableDataset,
        inputs: Columns | None = None,
        targets: Columns | None = None,
        max_tokens: int | None = None,
        max_sequences: int | None = None,
        budget: Literal["packed", "padded"] = "packed",
        overlong: Literal["raise", "drop", "truncate", "solo"] = "raise",
        empty: Literal["raise", "drop"] = "raise",
        validation_fraction: float = 0.1,
        test_fraction: float = 0.0,
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
    ) -> None:
        super().__init__()
        if inputs is None and spec is None:
            raise ValueError("SequenceDataModule needs `inputs`, the columns to learn from, or a `spec`")
        self.source = source
        self.inputs = _columns(inputs)
        self.targets = _columns(targets)
        self.unaligned = [unaligned] if isinstance(unaligned, str) else list(unaligned)
        self.max_tokens = max_tokens
        self.max_sequences = max_sequences
        self.budget = budget
        self.overlong = overlong
        self.empty = empty
        self.validation_fraction = validation_fraction
        self.test_fraction = test_fraction
        self.predict_split = predict_split
        self.seed = seed
        self.num_workers = num_workers
        if streaming and continuous is not None:
            raise ValueError("continuous text needs all rows in their order; set streaming=False, or no continuous")
        self.streaming = streaming
        self.pool = pool
        self.weights = weights
        self.batch_multiple = batch_multiple
        self.longest_first = longest_first
        self.cost = cost
        self.continuous = continuous
        self._spec = spec
        self._splits: dict[str, Any] | None = None
        self._train_sampler: LengthBucketSampler | BPTTSampler | None = None
        self._stream: ModuleStreamLoader | None = None
        self._resume: dict[str, Any] | None = None
        self._epoch_length: EpochLength | None = None

    # What the data decides.

    @property
    def splits(self) -> dict[str, Any]:
        """The source's splits, with those that it lacks held out of its training rows.

        Raises:
            ValueError: No training row would be left.
        """
        if self._splits is None:
            loaded: Any = self.source
            if isinstance(self.source, Source):
                loaded = self.source.stream() if self.streaming else self.source.load()
            splits = {"train": loaded} if isinstance(loaded, Dataset | IterableDataset) else dict(loaded)
            if self.streaming and all(isinstance(rows, Dataset) for rows in splits.values()):
                splits = dict(to_streams(splits))
            for split, fraction in (("test", self.test_fraction), ("validation", self.validation_fraction)):
                if split not in splits and isinstance(splits.get("train"), Dataset) and fraction > 0:
                    count = splits["train"].num_rows
                    if count <= math.ceil(count * fraction):
                        raise ValueError(
                            f"{split}_fraction={fraction} of {count} training rows leaves none to train on; set it "
                            f"to 0, or have the source give a {split} split"
                        )
                    parts = splits["train"].train_test_split(
                        test_size=fraction, seed=self.seed, shuffle=self.continuous is None
                    )
                    splits["train"], splits[split] = parts["train"], parts["test"]
            self._splits = splits
        return self._splits

    @property
    def spec(self) -> dict[str, Any]:
        """What the data decides, in plain types: by column of ``inputs`` and ``targets``, its encoder and sizes.

        Raises:
            ValueError: There is no training split to learn from, or a column is missing or of no known kind.
        """
        if self._spec is None:
            if self.inputs is None:
                raise ValueError("SequenceDataModule needs `inputs`, the columns to learn from, or a `spec`")
            train = self._split("train")
            rows = first_rows(train, self.pool) if isinstance(train, IterableDataset) else train
            self._spec = learn_spec(rows, self.inputs, self.targets or {}, self.unaligned)
        return self._spec

    def rows(self, split: str, *, training: bool = False, with_targets: bool = True) -> RaggedRows:
        """The encoded rows of a split: ``rows("train")[[3, 1, 2]]`` is a packed Batch.

        Args:
            split: ``train``, ``validation``, ``test`` or another split of the source.
            training: Whether over-long rows are cut, where ``overlong`` says so.
            with_targets: Whether the batches hold the targets.

        Raises:
            ValueError: The source has no such split, or a value cannot be encoded (the message names its row).
        """
        encoded = encode_dataset(self._split(split), self.spec, split, with_targets=with_targets)
        return RaggedRows(
            encoded,
            **self._columns_read(with_targets=with_targets),
            max_length=self.max_tokens if training and self.overlong == "truncate" else None,
        )

    def sampler(self, rows: RaggedRows, *, training: bool = False, alone: bool = False) -> LengthBucketSampler:
        """The plan of the batches of some rows on this rank.

        Args:
            rows: What :meth:`rows` gives.
            training: Whether batches are shuffled, and over-long rows treated as ``overlong`` says; evaluation
                takes every row once and in full.
            alone: Whether one rank gets all batches, even if there are several ranks.
        """
        max_tokens = self.max_tokens
        if max_tokens is None and self.max_sequences is None and self.continuous is not None:
            max_tokens = self.continuous.batch_size * self.continuous.bptt
        counts = np.stack([rows.lengths, *(lengths(rows.dataset, column) for column in self._apart())], axis=1)
        counts[(counts == 0).any(1)] = 0  # one empty sequence makes an empty row
        sampler = LengthBucketSampler(
            counts,
            max_tokens=max_tokens,
            max_sequences=self.max_sequences,
            budget=self.budget,
            shuffle=training,
            seed=self.seed,
            overlong=self.overlong if training and self.continuous is None else "solo",
            empty=self.empty,
            weights=self._weights() if training else None,
            batch_multiple=self.batch_multiple if training else 1,
            longest_first=self.longest_first and training,
            cost=self.cost,
            num_replicas=1 if alone else None,
            rank=0 if alone else None,
        )
        for reason, count in sampler.dropped.items():
            if count:
                rank_zero_info(f"{count} of {len(rows)} rows dropped: {reason}")
        return sampler

    # Loaders.

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled batches of the training split, from where an interrupted run stopped."""
        if self._is_stream("train"):
            return self._train_stream()
        if self._overfits():
            return self._overfit_loader("train", training=True)
        rows, self._train_sampler = self._planned("train", training=True)
        epoch = self._current_epoch()
        # Lightning may ask twice before the first step, and again for later epochs: the state is kept.
        if self._resume is not None and self._resume["epoch"] >= epoch:
            self._train_sampler.load_state_dict(self._resume)
        else:
            self._train_sampler.set_epoch(epoch)  # workers fetch ahead before Lightning sets it
        return self._loader(rows, self._train_sampler)

    def val_dataloader(self) -> DataLoader[Batch] | list[Any]:
        """Batches of the validation split; none if there is no such split."""
        if "validation" not in self.splits:
            return []
        if self._overfits() and not self._is_stream("validation"):
            return self._overfit_loader("validation")
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Batches of the test split."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Batches of ``predict_split``, without targets."""
        return self._evaluation_loader(self.predict_split, with_targets=False)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Move a batch tensor by tensor, for Lightning moves tensors without waiting and anything else with it."""
        return Batch(
            move_data_to_device(batch.rows, device),
            {column: moved(values, device) for column, values in batch.inputs.items()},
            {column: moved(values, device) for column, values in batch.targets.items()},
        )

    # Resuming.

    def state_dict(self) -> dict[str, Any]:
        """Which batches of which epoch the optimiser has seen; the same on all ranks, small and JSON-able."""
        if self.trainer is None or (self._train_sampler is None and self._stream is None):
            return {}
        loop = self.trainer.fit_loop
        epoch = max(loop.epoch_progress.current.ready - 1, 0)
        step = loop.epoch_loop.batch_progress.current.processed  # type: ignore[attr-defined]
        if self._stream is not None:
            ended = step and step in (self._stream.ended_after, self.trainer.num_training_batches)
            return self._stream.state_after(0, epoch + 1) if ended else self._stream.state_after(step, epoch)
        if step >= self.trainer.num_training_batches:
            epoch, step = epoch + 1, 0
        assert self._train_sampler is not None
        sampler = copy(self._train_sampler)  # the state may already be that of the next epoch
        sampler.set_epoch(epoch)
        return sampler.state_dict(step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the training loaders go on from a state, on any number of ranks."""
        self._resume = state_dict or None
        if self._resume is not None and self.trainer is not None and not self._is_stream("train"):
            self._epoch_length = EpochLength(epoch_begins=not self._resume["batches"])
            self.trainer.callbacks.append(self._epoch_length)  # type: ignore[attr-defined]

    def teardown(self, stage: str) -> None:
        """Forget where the run was resumed."""
        if stage == "fit":
            self._resume = None
            if self._epoch_length is not None and self.trainer is not None:
                self.trainer.callbacks.remove(self._epoch_length)  # type: ignore[attr-defined]
            self._epoch_length = None

    # Private.

    def _split(self, split: str) -> Dataset:
        if split not in self.splits:
            raise ValueError(
                f"the source has no split {split!r}, only {list(self.splits)}; name its file, or hold rows out of "
                f"the training split with validation_fraction or test_fraction"
            )
        return self.splits[split]

    def _apart(self) -> list[str]:
        return [column for column, entry in self.spec["inputs"].items() if entry.get("unaligned")]

    def _columns_read(self, *, with_targets: bool) -> dict[str, Any]:
        """Which columns rows and streams read, and what each holds: their arguments of these names."""
        inputs, targets = self.spec["inputs"], self.spec["targets"] if with_targets else {}
        vectors = [column for column, entry in targets.items() if is_vector(entry)]
        labels = [column for column, entry in targets.items() if entry["per"] == "unaligned"]
        unaligned = [*self._apart(), *labels]
        if unaligned and self.overlong == "truncate":
            what = "label" if unaligned == labels else "unaligned"
            raise ValueError(
                f'overlong="truncate" would cut the inputs but not the {what} sequences in {unaligned[0]!r}; set '
                f'it to "drop", "solo" or "raise"'
            )
        return {
            "inputs": list(inputs),
            "targets": [column for column in targets if column not in vectors],
            "sequence_targets": vectors,
            "nested": [column for column, entry in inputs.items() if entry["kind"] == "nested"],
            "unaligned": unaligned,
        }

    def _weights(self) -> Any:
        if self.weights is None:
            return None
        train = self._split("train")
        if self.weights not in train.column_names:
            raise ValueError(
                f"weights: train has no column {self.weights!r}; it has {', '.join(train.column_names)}"
            )
        return train.with_format("numpy")[self.weights][:]

    def _is_stream(self, split: str) -> bool:
        return isinstance(self.splits.get(split), IterableDataset)

    def _train_stream(self) -> DataLoader[Batch]:
        if self.weights is not None or self.batch_multiple > 1 or self.longest_first:
            raise ValueError(
                "weights, batch_multiple and longest_first need all rows at once, but train is a stream; leave "
                "them out, or load it (streaming=False)"
            )
        if self.trainer is not None and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            raise ValueError(
                "overfit_batches needs the same batches in every epoch, but train is a stream; take its first rows "
                "(dataset.take), or load it (streaming=False)"
            )
        self._stream = self._stream_loader("train", training=True)
        if self._resume is not None and self._resume["epoch"] >= self._current_epoch():
            self._stream.resume(self._resume)
        return self._stream

    def _stream_loader(self, split: str, *, training: bool, with_targets: bool = True) -> "ModuleStreamLoader":
        dataset = self._split(split)
        entries = self.spec["inputs"] | (self.spec["targets"] if with_targets else {})
        stream = PackedStream(
            dataset.select_columns(source_columns(entries)),
            **self._columns_read(with_targets=with_targets),
            pool=self.pool,
            encode=partial(
                encode_table, spec=self.spec, split=split, features=dataset.features, with_targets=with_targets
            ),
            max_tokens=self.max_tokens,
            max_sequences=self.max_sequences,
            budget=self.budget,
            shuffle=training,
            seed=self.seed,
            overlong=self.overlong if training else "solo",
            empty=self.empty,
            cost=self.cost,
        )
        return ModuleStreamLoader(
            stream,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            epoch=self._current_epoch,
        )

    def _current_epoch(self) -> int:
        return 0 if self.trainer is None else self.trainer.current_epoch

    def _evaluation_loader(self, split: str, *, with_targets: bool = True) -> DataLoader[Batch]:
        if self._is_stream(split):
            loader = self._stream_loader(split, training=False, with_targets=with_targets)
            if not with_targets and loader.dataset.num_replicas * max(self.num_workers, 1) > 1:
                raise ValueError(
                    f"predict from a stream keeps the rows' numbers in one process only, but there are "
                    f"{loader.dataset.num_replicas} ranks with {self.num_workers} workers; use devices=1 and "
                    f"num_workers=0, or streaming=False"
                )
            return loader
        return self._loader(*self._planned(split, with_targets=with_targets))

    def _planned(
        self, split: str, *, training: bool = False, with_targets: bool = True, alone: bool = False
    ) -> "tuple[RaggedRows | ContinuousText, LengthBucketSampler | BPTTSampler]":
        """A split's rows and the plan of their batches, or the streams of its text and the plan of their pieces."""
        if self.continuous is None or not with_targets:
            rows = self.rows(split, training=training, with_targets=with_targets)
            return rows, self.sampler(rows, training=training, alone=alone)
        (column, entry), *others = self.spec["inputs"].items()
        if others or self.spec["targets"] or entry["kind"] != "ids":
            raise ValueError(
                f"continuous text is one input column of ids without a target, as the next token is that, but the "
                f"inputs are {list(self.spec['inputs'])} ({entry['kind']}) and the targets "
                f"{list(self.spec['targets'])}; name one column in `inputs`, or leave out `continuous`"
            )
        encoded = encode_dataset(self._split(split), self.spec, split)
        streams = ContinuousText(
            # A language model's boundary is the id after the last.
            concatenate_rows(encoded, column, entry["size"], append_eos=self.continuous.append_eos),
            column,
            self.continuous.batch_size if training else self.continuous.evaluation_batch_size,
            num_replicas=1 if alone else None,
            rank=0 if alone else None,
        )
        return streams, BPTTSampler(streams, self.continuous, training=training, seed=self.seed)

    def _overfits(self) -> bool:
        trainer: Any = self.trainer
        return trainer is not None and trainer.state.fn == TrainerFn.FITTING and trainer.overfit_batches > 0

    def _overfit_loader(self, split: str, *, training: bool = False) -> DataLoader[Batch]:
        """The same batches in the same order each epoch, as Lightning's ``overfit_batches`` asks for.

        Lightning takes items one after another, dealt to the ranks by itself: here an item is a batch.
        """
        self._train_sampler = None if training else self._train_sampler
        rows, sampler = self._planned(split, training=training, alone=True)
        batches = PlannedBatches(rows, list(sampler))
        return self._loader(batches, SequentialSampler(batches))

    def _loader(
        self,
        batches: "RaggedRows | ContinuousText | PlannedBatches",
        sampler: "LengthBucketSampler | BPTTSampler | SequentialSampler",
    ) -> DataLoader[Batch]:
        return PlannedLoader(
            batches,
            sampler=sampler,
            batch_size=None,  # the sampler yields whole batches, and Lightning leaves such a loader alone
            collate_fn=as_it_is,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            # Seeds of workers are drawn from here, so that loaders leave the global random state alone.
            generator=torch.Generator().manual_seed(self.seed),
        )


def _columns(columns: Columns | None) -> dict[str, Encoder | None] | None:
    if columns is None or isinstance(columns, dict):
        return columns
    return dict.fromkeys([columns] if isinstance(columns, str) else columns)
