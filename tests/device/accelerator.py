"""The strict device in Lightning."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.strategies import SingleDeviceStrategy


class StrictAccelerator(Accelerator):
    """One strict device."""

    def setup_device(self, device: torch.device) -> None:
        torch.strict.set_device(device)

    def teardown(self) -> None:
        pass

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        return devices if isinstance(devices, list) else list(range(int(devices)))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device("strict", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "strict"

    def get_device_stats(self, device: str | torch.device) -> dict[str, Any]:
        return {}


def trainer(folder: Any, device: str = "strict", **options: Any) -> Trainer:
    """Create a Trainer of the strict device, or of the CPU, that prints nothing."""
    strict = {}
    if device != "cpu":
        if "strict" not in AcceleratorRegistry:
            AcceleratorRegistry.register("strict", StrictAccelerator)
        strict = {"strategy": SingleDeviceStrategy(device=torch.device("strict", 0))}
    defaults = {
        "accelerator": device,
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    return Trainer(**(defaults | strict | options))
