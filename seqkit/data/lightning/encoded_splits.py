"""The splits of a source as a model reads them: encoded rows, a stream of them, or one continuous text."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from datasets import Dataset, IterableDataset
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from seqkit.data.continuous import Continuous, ContinuousText, concatenate_rows
from seqkit.data.cut_spans import add_cut
from seqkit.data.encoders import (
    Encoder,
    LabelEncoder,
    build_encoder,
    encode_dataset,
    learn_spec,
    source_columns,
)
from seqkit.data.lightning.spec_cache import learn_spec_once
from seqkit.data.lightning.stream_encoder import StreamEncoder
from seqkit.data.lightning.tag_order import tag_orders
from seqkit.data.rows.checks import RowError, SourceRows
from seqkit.data.streaming.stream import PackedStream, first_rows
from seqkit.data.unseen import UnseenLabel, add_unseen, find_unseen
from seqkit.options import near


class EncodedSplits:
    """Learn the data spec from the training split, and read the splits as it says.

    Args:
        splits: The rows, or the stream of rows, of each split.
        sources: Which rows of the source each split has, for errors.
        held_out: For each split that is held out of the training rows, a message that says so.
        inputs: The encoder of each input, or None for the default encoder of the column's type.
        targets: The encoder of each target, likewise.
        unaligned: The inputs whose sequences have lengths of their own.
        pool: The number of rows of a stream that are read together. The spec is learned from the first ones.
        spec: A data spec learned before; nothing is learned then.
    """

    def __init__(
        self,
        splits: dict[str, Any],
        sources: Mapping[str, SourceRows],
        held_out: Mapping[str, str],
        inputs: Mapping[str, Encoder | None],
        targets: Mapping[str, Encoder | None],
        unaligned: Collection[str],
        pool: int,
        spec: dict[str, Any] | None,
    ) -> None:
        self.splits = splits
        self.sources = sources
        self.held_out = held_out
        self.inputs = inputs
        self.targets = targets
        self.unaligned = unaligned
        self.pool = pool
        if spec is not None:
            self.spec = spec
        self.reported: set[tuple[str, ...]] = set()  # splits and columns of which the user has been warned
        self._kept: dict[tuple[str, bool, str], tuple[Dataset, Dataset]] = {}
        self._unseen: dict[str, tuple[Any, dict[str, list[UnseenLabel]]]] = {}

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The data spec.

        Raises:
            ValueError: There is no training split to learn from, or a column is missing or has no known type.
        """
        train = self.split("train")
        with self.sources["train"].name_errors():
            if self.is_stream("train"):
                return learn_spec(first_rows(train, self.pool), self.inputs, self.targets, self.unaligned)
            return learn_spec_once(train, self.inputs, self.targets, self.unaligned)

    def split(self, split: str) -> Any:
        """Return the rows of a split, as the source gives them; log once if they, or some of them, are held out.

        Raises:
            ValueError: There is no such split.
        """
        if split not in self.splits:
            raise ValueError(
                f"the source has no split {split!r}, only {list(self.splits)}{near(split, self.splits)}; name its "
                f"file, or hold rows out of the training split with validation_fraction or test_fraction"
            )
        for name in self.held_out if split == "train" else {split} & self.held_out.keys():
            if (name, "held out") not in self.reported:
                self.reported.add((name, "held out"))
                rank_zero_info(self.held_out[name])
        return self.splits[split]

    def is_stream(self, split: str) -> bool:
        """Whether a split is a stream; False if there is no such split."""
        return isinstance(self.splits.get(split), IterableDataset)

    def label_encoders(self, *, with_targets: bool = True) -> dict[str, LabelEncoder]:
        """Return the encoder of each input and target that has labels."""
        entries = self.spec["inputs"] | (self.spec["targets"] if with_targets else {})
        encoders = {name: build_encoder(entry) for name, entry in entries.items()}
        return {name: encoder for name, encoder in encoders.items() if isinstance(encoder, LabelEncoder)}

    def unseen(self, split: str) -> dict[str, list[UnseenLabel]]:
        """Return, by input and target, the labels of a split that training lacks.

        Those of a stream are not known before it is read. A column that cannot be encoded has none: encoding it
        says why.
        """
        rows = self.splits.get(split)
        source, found = self._unseen.get(split, (None, {}))
        if isinstance(rows, Dataset) and source is not rows:
            found = {}
            for name, encoder in self.label_encoders().items():
                entry = self.spec["inputs"].get(name) or self.spec["targets"][name]
                column = entry.get("column", name)
                try:
                    labels = find_unseen(rows, encoder, column) if column in rows.column_names else []
                except RowError:
                    continue
                if labels:
                    found[name] = labels
            self._unseen[split] = rows, found
        return found

    def report(self, error: RowError, *, refuse: bool) -> None:
        """Warn about a row of a split by its number in the source, or raise the error."""
        assert error.split is not None
        try:
            with self.sources[error.split].name_errors():
                raise error
        except RowError as named:
            if refuse:
                raise
            rank_zero_warn(str(named))

    def rows(
        self,
        split: str,
        *,
        with_targets: bool = True,
        unseen: Mapping[str, Sequence[str]] | None = None,
        cut_length: int | None = None,
    ) -> Dataset:
        """Return the encoded rows of a split; they are kept until `release`.

        Args:
            split: The name of the split.
            with_targets: Whether to encode the targets, too.
            unseen: By input and target, labels that training lacks, to be encoded too; see
                :func:`~seqkit.data.unseen.add_unseen`.
            cut_length: The number of tokens to which rows are cut later; see
                :func:`~seqkit.data.cut_spans.add_cut`.
        """
        rows: Dataset = self.split(split)
        key = split, with_targets, repr((unseen or {}, cut_length))
        source, encoded = self._kept.get(key, (None, None))
        if encoded is None or source is not rows:
            spec = add_cut(add_unseen(self.spec, unseen or {}), cut_length)
            with self.sources[split].name_errors():
                encoded = encode_dataset(rows, spec, split, with_targets=with_targets)
            self._kept[key] = rows, encoded
        return encoded

    def prepare(self, split: str, **options: Any) -> None:
        """Encode a split if its rows are on disk, so that other processes read the encoded rows there.

        Args:
            split: The name of the split.
            options: Further arguments of :meth:`rows`.
        """
        if not self.is_stream(split) and split in self.splits and self.splits[split].cache_files:
            self.rows(split, **options)

    def release(self) -> None:
        """Forget the encoded rows."""
        self._kept.clear()

    def stream(
        self,
        split: str,
        *,
        with_targets: bool,
        unseen: Mapping[str, Sequence[str]],
        cut_length: int | None,
        unseen_labels: str,
        trainer: Any,
        **options: Any,
    ) -> PackedStream:
        """Return a split that is a stream as a stream of encoded rows.

        Args:
            split: The name of the split.
            with_targets: Whether the batches contain the targets.
            unseen: See :meth:`rows`.
            cut_length: See :meth:`rows`.
            unseen_labels: What a label that training lacks is in evaluation: ``count`` or ``error``.
            trainer: The trainer, if there is one.
            options: Further arguments of :class:`~seqkit.data.PackedStream`.
        """
        rows: IterableDataset = self.split(split)
        entries = self.spec["inputs"] | (self.spec["targets"] if with_targets else {})
        watched = {} if split == "train" else self.label_encoders(with_targets=with_targets)
        encode = StreamEncoder(
            add_cut(add_unseen(self.spec, unseen), cut_length),
            split,
            features=rows.features,
            with_targets=with_targets,
            unseen_labels=dict.fromkeys(watched, unseen_labels),
            orders=tag_orders(trainer) if with_targets else {},
        )
        return PackedStream(
            rows.select_columns(source_columns(entries)),
            encode=encode,
            split=split,
            pool=self.pool,
            **options,
        )

    def text(self, split: str, continuous: Continuous, *, training: bool, single_rank: bool) -> ContinuousText:
        """Return the rows of a split as one continuous text.

        Args:
            split: The name of the split.
            continuous: How the text is read.
            training: Whether it is read in training or in evaluation.
            single_rank: Whether this process reads all sequences, even if there are several ranks.

        Raises:
            ValueError: The data spec has other columns, too, or the column does not have ids.
        """
        inputs, targets = self.spec["inputs"], self.spec["targets"]
        (column, entry), *others = inputs.items()
        if others or targets or entry["kind"] != "ids":
            raise ValueError(
                f"continuous text is one input column of ids without a target, because the next token is the "
                f"target, but the inputs are {list(inputs)} ({entry['kind']}) and the targets {list(targets)}; "
                f"name one column in `inputs`, or leave out `continuous`"
            )
        boundary = entry["size"]  # the id after the last one
        return ContinuousText(
            concatenate_rows(self.rows(split), column, boundary, append_eos=continuous.append_eos),
            column,
            continuous.batch_size if training else continuous.evaluation_batch_size,
            num_replicas=1 if single_rank else None,
            rank=0 if single_rank else None,
        )
