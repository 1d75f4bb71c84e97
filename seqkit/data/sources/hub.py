"""Datasets of the Hugging Face hub."""

from collections.abc import Mapping
from typing import Any

import datasets

from seqkit.data.sources.base import SPLITS, Source


class Hub(Source):
    """A dataset of the Hugging Face hub that loads without a script, as `datasets` 4 demands.

    Args:
        name: ``owner/name``.
        config: The dataset's configuration, if it has several.
        splits: The hub's split for each of ours, also slices: ``{"train": "train[:90%]", "validation":
            "train[90%:]"}``. By default those named train, validation and test.
        revision: A branch, tag or commit to stay at.
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
            raise ValueError(f"splits names {', '.join(sorted(unknown))}; ours are {', '.join(SPLITS)}")
        self.name = name
        self.config = config
        self.splits = splits
        self.revision = revision

    def load(self) -> datasets.DatasetDict:
        """Return the splits.

        Raises:
            ValueError: If the hub's splits have other names and ``splits`` does not say which to take.
        """
        if self.splits is not None:
            wanted = list(self.splits.values())
            loaded = datasets.load_dataset(self.name, self.config, split=wanted, revision=self.revision)
            return datasets.DatasetDict(dict(zip(self.splits, loaded, strict=True)))
        every = datasets.load_dataset(self.name, self.config, revision=self.revision)
        return datasets.DatasetDict(self._named(every))

    def stream(self) -> datasets.IterableDatasetDict:
        """Return the splits as streams; nothing is downloaded before it is read.

        Raises:
            ValueError: As `load`; the hub streams whole splits only, no slices.
        """
        every = datasets.load_dataset(self.name, self.config, revision=self.revision, streaming=True)
        if self.splits is None:
            return datasets.IterableDatasetDict(self._named(every))
        missing = [split for split in self.splits.values() if split not in every]
        if missing:
            raise ValueError(f"{self.name} streams the splits {', '.join(every)}, not {', '.join(missing)}")
        return datasets.IterableDatasetDict({ours: every[split] for ours, split in self.splits.items()})

    def _named(self, every: Mapping[str, Any]) -> dict[str, Any]:
        found = {split: every[split] for split in SPLITS if split in every}
        if not found:
            raise ValueError(
                f"{self.name} has the splits {', '.join(every)}; say which to take, e.g."
                f" splits: {{train: {next(iter(every))}}}"
            )
        return found
