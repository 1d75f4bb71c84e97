"""Output layers of language models: over all classes, or by clusters of rare ones."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AdaptiveSoftmax", "OutputSoftmax", "Softmax"]


class OutputSoftmax(nn.Module, ABC):
    """From features to the probability of each class.

    Args:
        input_size: H, the features.
        num_classes: C.
    """

    def __init__(self, input_size: int, num_classes: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.num_classes = num_classes

    @abstractmethod
    def nats(self, features: Tensor, classes: Tensor) -> Tensor:
        """The negative log-probability (N,) of classes (N,), given features (N, H)."""

    @abstractmethod
    def log_probs(self, features: Tensor) -> Tensor:
        """The log-probability of each class, (N, C), given features (N, H)."""

    @abstractmethod
    def tie(self, weight: nn.Parameter) -> None:
        """Take the embedding's weight (C, D) for the classes' own.

        Raises:
            ValueError: It does not fit.
        """


class Softmax(OutputSoftmax):
    """A linear layer and the softmax over all classes.

    Args:
        input_size: H, the features.
        num_classes: C.
    """

    def __init__(self, input_size: int, num_classes: int) -> None:
        super().__init__(input_size, num_classes)
        self.linear = nn.Linear(input_size, num_classes)

    def nats(self, features: Tensor, classes: Tensor) -> Tensor:
        """The negative log-probability (N,) of classes (N,), given features (N, H)."""
        return F.cross_entropy(self.linear(features), classes, reduction="none")

    def log_probs(self, features: Tensor) -> Tensor:
        """The log-probability of each class, (N, C), given features (N, H)."""
        return F.log_softmax(self.linear(features), -1)

    def tie(self, weight: nn.Parameter) -> None:
        """Take the embedding's weight (C, D) for the classes' own (Press and Wolf 2017).

        Raises:
            ValueError: D is not H.
        """
        if weight.shape[1] != self.input_size:
            raise ValueError(
                f"tied weights: the embedding has {weight.shape[1]} features, but the encoder's output has "
                f"{self.input_size}; make them equal (embedding_dim, or the encoder's hidden_size or proj_size), "
                f"or set tied=False"
            )
        self.linear.weight = weight


class AdaptiveSoftmax(OutputSoftmax):
    """Rare classes in clusters with fewer features, for vocabularies of tens of thousands.

    :class:`torch.nn.AdaptiveLogSoftmaxWithLoss` (Grave and others 2017, https://arxiv.org/abs/1609.04309). It wants
    the most frequent classes first, as the vocabularies of :class:`seqkit.data.Words` have them. The last class
    counts as the first of all: it is the boundary of a language model.

    Args:
        input_size: H, the features.
        num_classes: C.
        cutoffs: How many classes stand before each cluster, ascending; those before the first are in the head.
        div_value: Each cluster has so many times fewer features than the one before.

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
                f"leave the rarest classes none; set div_value lower, or give fewer cutoffs"
            )
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(input_size, num_classes, cutoffs, div_value)

    def nats(self, features: Tensor, classes: Tensor) -> Tensor:
        """The negative log-probability (N,) of classes (N,), given features (N, H)."""
        nats: Tensor = -self.layer(features, (classes + 1) % self.num_classes).output
        if torch.is_grad_enabled():  # clusters of which the batch has no class take part, as DDP wants of all
            nats = nats + sum(parameter.sum() for parameter in self.layer.tail.parameters()) * 0.0
        return nats

    def log_probs(self, features: Tensor) -> Tensor:
        """The log-probability of each class, (N, C), given features (N, H)."""
        return self.layer.log_prob(features).roll(-1, -1)

    def tie(self, weight: nn.Parameter) -> None:  # noqa: ARG002
        """Refuse: its rare classes have weights of other sizes.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "AdaptiveSoftmax cannot share the embedding's weights, as its rare classes have fewer features; set "
            "tied=False, or use Softmax"
        )
