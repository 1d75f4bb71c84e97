"""Output layers of language models: the full softmax, and the adaptive one with clusters of rare classes."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqkit.losses import full_precision

__all__ = ["AdaptiveSoftmax", "OutputSoftmax", "Softmax"]


class OutputSoftmax(nn.Module, ABC):
    """Maps features to the probability of each class.

    Args:
        input_size: H, number of features.
        num_classes: C.
    """

    def __init__(self, input_size: int, num_classes: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.num_classes = num_classes

    @abstractmethod
    def nll(self, features: Tensor, classes: Tensor) -> Tensor:
        """Compute the negative log-probability (N,) of classes (N,), given features (N, H)."""

    @abstractmethod
    def log_probs(self, features: Tensor) -> Tensor:
        """Compute the log-probability of each class, (N, C), given features (N, H)."""

    @abstractmethod
    def tie(self, weight: nn.Parameter) -> None:
        """Share the embedding's weight (C, D) as the weight of the classes.

        Raises:
            ValueError: The layer cannot use a weight of this shape.
        """


class Softmax(OutputSoftmax):
    """Apply a linear layer and the softmax over all classes.

    Args:
        input_size: H, number of features.
        num_classes: C.
    """

    def __init__(self, input_size: int, num_classes: int) -> None:
        super().__init__(input_size, num_classes)
        self.linear = nn.Linear(input_size, num_classes)

    def nll(self, features: Tensor, classes: Tensor) -> Tensor:
        """Compute the negative log-probability (N,) of classes (N,), given features (N, H)."""
        return F.cross_entropy(full_precision(self.linear(features)), classes, reduction="none")

    def log_probs(self, features: Tensor) -> Tensor:
        """Compute the log-probability of each class, (N, C), given features (N, H)."""
        return F.log_softmax(full_precision(self.linear(features)), -1)

    def tie(self, weight: nn.Parameter) -> None:
        """Share the embedding's weight (C, D) as the weight of the classes (Press and Wolf 2017).

        Raises:
            ValueError: D differs from H.
        """
        if weight.shape[1] != self.input_size:
            raise ValueError(
                f"tied weights: the embedding has {weight.shape[1]} features, but the encoder's output has "
                f"{self.input_size}; make them equal (embedding_dim, or the encoder's hidden_size or proj_size), "
                f"or set tied=False"
            )
        self.linear.weight = weight


class AdaptiveSoftmax(OutputSoftmax):
    """Give clusters of rare classes fewer features, for vocabularies of tens of thousands of classes.

    Has the weights of :class:`torch.nn.AdaptiveLogSoftmaxWithLoss` (Grave et al. 2017,
    https://arxiv.org/abs/1609.04309), which expects the classes by descending frequency, as the vocabularies of
    :class:`seqkit.data.Words` list them. The last class, the boundary of a language model, is treated as the most
    frequent one. Unlike torch's layer, it works under autocast, and log-probabilities have at least float32.

    Args:
        input_size: H, number of features.
        num_classes: C.
        cutoffs: First class of each cluster, ascending; the classes before the first cutoff are in the head.
        div_value: Divides the number of features from each cluster to the next.

    Raises:
        ValueError: The cutoffs do not ascend between 1 and C - 1, or the last cluster would have no feature.
    """

    def __init__(
        self, input_size: int, num_classes: int, cutoffs: Sequence[int] = (2000, 10000), div_value: float = 4.0
    ) -> None:
        super().__init__(input_size, num_classes)
        cutoffs = list(cutoffs)
        if not cutoffs or sorted(set(cutoffs)) != cutoffs or cutoffs[0] < 1 or cutoffs[-1] > num_classes - 1:
            raise ValueError(
                f"AdaptiveSoftmax got cutoffs {cutoffs} for {num_classes} classes; they ascend between 1 and "
                f"{num_classes - 1}; for a small vocabulary use Softmax"
            )
        if input_size < div_value ** len(cutoffs):
            raise ValueError(
                f"AdaptiveSoftmax: {input_size} features, divided {len(cutoffs)} times by div_value={div_value:g}, "
                f"leave none for the rarest classes; set div_value lower, or give fewer cutoffs"
            )
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(input_size, num_classes, cutoffs, div_value)

    def nll(self, features: Tensor, classes: Tensor) -> Tensor:
        """Compute the negative log-probability (N,) of classes (N,), given features (N, H)."""
        ids = (classes + 1) % self.num_classes
        head = F.log_softmax(full_precision(self.layer.head(features)), -1)
        nll = -head.gather(1, self._head_classes(ids)[:, None])[:, 0]
        for first, end, tail in self._clusters():
            # Clusters without a class in the batch take part, too: DDP needs their gradient.
            units = ((ids >= first) & (ids < end)).nonzero()[:, 0]
            within = F.log_softmax(full_precision(tail(features[units])), -1)
            nll = nll.index_add(0, units, -within.gather(1, ids[units, None] - first)[:, 0])
        return nll

    def log_probs(self, features: Tensor) -> Tensor:
        """Compute the log-probability of each class, (N, C), given features (N, H)."""
        size = self.layer.cutoffs[0]
        head = F.log_softmax(full_precision(self.layer.head(features)), -1)
        parts = [head[:, :size]]
        for i, (_, _, tail) in enumerate(self._clusters(), start=size):
            parts.append(head[:, i : i + 1] + F.log_softmax(full_precision(tail(features)), -1))
        return torch.cat(parts, 1).roll(-1, -1)

    def tie(self, weight: nn.Parameter) -> None:  # noqa: ARG002
        """Raise an error: the weights of rare classes have other sizes.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "AdaptiveSoftmax cannot share the embedding's weights: its rare classes have fewer features; set "
            "tied=False, or use Softmax"
        )

    def _clusters(self) -> list[tuple[int, int, nn.Module]]:
        """Return the first class of each cluster, the first one after it, and its layers."""
        return list(zip(self.layer.cutoffs[:-1], self.layer.cutoffs[1:], self.layer.tail, strict=True))

    def _head_classes(self, ids: Tensor) -> Tensor:
        """Return the class of the head, its own or that of its cluster, of each id (N,)."""
        first, *others = self.layer.cutoffs[:-1]
        head = ids.clamp(max=first)
        for cutoff in others:
            head = head + (ids >= cutoff)
        return head
