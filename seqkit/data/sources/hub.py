"""Datasets of the Hugging Face hub."""

from collections.abc import Mapping
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source


class Hub(Source):
    """A dataset of the Hugging Face hub. It must load without a script, as `datasets` requires since version 4.

    Args:
        name: ``owner/name``.
        config: The dataset's configuration, if it has several.
        splits: The hub's name for each split, or a slice: ``{"train": "train[:90%]", "validation":
            "train[90%:]"}``. By default, the splits that are named train, validation and test.
        revision: A branch, tag or commit.
    """

    def __init__(
        self,
        name: str,
        config: str | None = None,
        *,
        splits: dict[str, str] | None = None,
        revision: str | None = None,
    ) -> None:
        unknown = set(splits or ()) - set(SPLITS)
        if unknown:
            raise ValueError(f"splits has the keys {', '.join(sorted(unknown))}; use {', '.join(SPLITS)}")
        self.name = name
        self.config = config
        self.splits = splits
        self.revision = revision

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If ``splits`` is not given and the hub's splits have other names.
        """
        if self.splits is not None:
            names = list(self.splits.values())
            loaded = datasets.load_dataset(self.name, self.config, split=names, revision=self.revision)
            return datasets.DatasetDict(dict(zip(self.splits, loaded, strict=True)))
        loaded = datasets.load_dataset(self.name, self.config, revision=self.revision)
        return datasets.DatasetDict(self._standard_splits(loaded))

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as iterable datasets; rows are downloaded when they are read.

        Raises:
            ValueError: As `load`, or if ``splits`` names a slice: the hub streams whole splits only.
        """
        streams = datasets.load_dataset(self.name, self.config, revision=self.revision, streaming=True)
        if self.splits is None:
            return datasets.IterableDatasetDict(self._standard_splits(streams))
        missing = [name for name in self.splits.values() if name not in streams]
        if missing:
            raise ValueError(f"{self.name} streams the splits {', '.join(streams)}, not {', '.join(missing)}")
        return datasets.IterableDatasetDict({split: streams[name] for split, name in self.splits.items()})

    def _standard_splits(self, loaded: Mapping[str, Any]) -> dict[str, Any]:
        found = {split: loaded[split] for split in SPLITS if split in loaded}
        if not found:
            raise ValueError(
                f"{self.name} has the splits {', '.join(loaded)}; name those to use, e.g."
                f" splits: {{train: {next(iter(loaded))}}}"
            )
        return found
