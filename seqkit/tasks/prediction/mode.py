"""The evaluation mode of a model, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and compute no gradients.

    Afterwards each part of the model has its own mode again, also after an error: a part in evaluation mode, within
    a model that is trained, stays so. A model that is in evaluation mode already is not changed.
    """
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True
