"""Sampling of the next token."""

import torch
from torch import Tensor


def sample(
    log_probs: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Sample a class for each row of log-probabilities.

    Args:
        log_probs: (B, C); a class at minus infinity is never sampled.
        generator: Source of the random numbers.
        temperature: Divides the log-probabilities; 0 takes the most likely class.
        top_k: Sample from the k most likely classes only.
        top_p: Sample from the smallest set of most likely classes whose total probability, after ``temperature``
            and ``top_k``, reaches p (nucleus sampling, Holtzman et al. 2020, https://arxiv.org/abs/1904.09751).

    Returns:
        (B,) int64.

    Raises:
        ValueError: ``temperature`` is negative, ``top_k`` is below 1 or ``top_p`` is not in (0, 1].
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(
            f"temperature={temperature}, top_k={top_k}, top_p={top_p}: temperature is at least 0, top_k at least "
            f"1, top_p above 0 and at most 1"
        )
    if temperature == 0:
        return log_probs.argmax(-1)
    scores, classes = (log_probs / temperature).sort(dim=-1, descending=True, stable=True)
    if top_k is not None:
        scores = scores[:, :top_k]
    probs = scores.softmax(-1)
    if top_p is not None:
        before = probs.cumsum(-1) - probs  # 0 for the most likely class, which is always kept
        probs = probs.masked_fill(before >= top_p, 0.0)
    ranks = torch.multinomial(probs, 1, generator=generator)
    return classes.gather(-1, ranks).squeeze(-1)
