"""Drawing the next token."""

import torch
from torch import Tensor


def draw(
    log_probs: Tensor,
    generator: torch.Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Draw a class for each row of log-probabilities.

    Args:
        log_probs: (B, C); a class of minus infinity is never drawn.
        generator: Of the random numbers.
        temperature: What the log-probabilities are divided by; at 0 the likeliest class is taken.
        top_k: Draw from so many likeliest classes only.
        top_p: Draw from the fewest likeliest classes that have this probability together, after ``temperature`` and
            ``top_k`` (nucleus sampling, Holtzman and others 2020, https://arxiv.org/abs/1904.09751).

    Returns:
        (B,) int64.

    Raises:
        ValueError: An argument is out of its range.
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
        before = probs.cumsum(-1) - probs  # of the likelier ones; the likeliest class always stays
        probs = probs.masked_fill(before >= top_p, 0.0)
    places = torch.multinomial(probs, 1, generator=generator)
    return classes.gather(-1, places).squeeze(-1)
