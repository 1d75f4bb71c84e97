"""Torch's random state of each rank in a checkpoint: of the CPU, and of the accelerator if the model is on one."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

_KEY = "seqkit_rng_state"


def save_random_state(
    checkpoint: dict[str, Any], trainer: Trainer | None, device: torch.device, pending: dict[str, Tensor]
) -> None:
    """Save the random states of all ranks, each (ranks, bytes), under a key for the CPU and one for ``device``.

    Args:
        checkpoint: Changed in place.
        trainer: The trainer, if there is one.
        device: The model's device.
        pending: What this rank has still to restore after a resume; saved instead of the current states.
    """
    own = {_KEY: torch.get_rng_state()}
    if device.type != "cpu":
        own[_key(device)] = _device_state(device)
    for key, state in own.items():
        checkpoint[key] = torch.stack(gather_from_ranks(pending.get(key, state), trainer))


def rank_random_state(checkpoint: dict[str, Any], trainer: Trainer) -> dict[str, Tensor]:
    """Return a checkpoint's states of this rank, by key; empty for a rank that the saved run did not have."""
    rank, keys = trainer.global_rank, [key for key in checkpoint if key.startswith(_KEY)]
    # Setting a state reads a tensor's memory from its beginning, so a row must be copied.
    return {key: checkpoint[key][rank].cpu().clone() for key in keys if rank < len(checkpoint[key])}


def restore_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Set this process's random state to a result of :func:`rank_random_state`."""
    if _KEY in state:
        torch.set_rng_state(state[_KEY])
    if _key(device) in state and device.type != "cpu":
        _set_device_state(state[_key(device)], device)


def gather_from_ranks(value: Any, trainer: Trainer | None) -> list[Any]:
    """Return the values of all ranks, by rank; every rank must call it."""
    if trainer is None or trainer.world_size == 1:
        return [value]
    values = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def _key(device: torch.device) -> str:
    return _KEY if device.type == "cpu" else f"{_KEY}_{device.type}"


def _device_state(device: torch.device) -> Tensor:
    module: Any = torch.get_device_module(device)
    state: Tensor = module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)
    return state


def _set_device_state(state: Tensor, device: torch.device) -> None:
    module: Any = torch.get_device_module(device)
    module.set_rng_state(state) if device.type == "mps" else module.set_rng_state(state, device)
