from types import SimpleNamespace

import pytest
import torch

from seqkit.tasks.checkpoints.random_state import rank_random_state, restore_random_state, save_random_state


class Accelerator:
    """The random state of a device without a device: torch's functions on a generator."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)

    def get_rng_state(self, device):
        assert device.type == "xpu"
        return self.generator.get_state()

    def set_rng_state(self, state, device):
        assert device.type == "xpu"
        self.generator.set_state(state)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_device_of_each_rank_continues_its_random_numbers(rank, monkeypatch):
    device, cpu, accelerator = torch.device("xpu"), torch.device("cpu"), Accelerator()
    monkeypatch.setattr(torch, "get_device_module", lambda device: accelerator)

    def gather(held, own):
        held[:] = [own if number == run.global_rank else own.flip(0) for number in range(run.world_size)]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    run, checkpoint = SimpleNamespace(world_size=2, global_rank=min(rank, 1)), {}
    with torch.random.fork_rng(devices=[]):
        save_random_state(checkpoint, run, device, {})
        expected = torch.rand(3), torch.rand(3, generator=accelerator.generator)
        assert {key: value.dtype for key, value in checkpoint.items()} == dict.fromkeys(
            ["seqkit_rng_state", "seqkit_rng_state_xpu"], torch.uint8
        )
        run.global_rank = rank
        state = rank_random_state(checkpoint, run)
        assert bool(state) is (rank < 2)  # the saved run had two ranks
        if state:
            restore_random_state(state, device)
            drawn = torch.rand(3), torch.rand(3, generator=accelerator.generator)
            assert torch.equal(drawn[0], expected[0])
            assert torch.equal(drawn[1], expected[1])
            # On another kind of device the CPU's numbers continue.
            before = accelerator.generator.get_state()
            restore_random_state(state, cpu)
            assert torch.equal(torch.rand(3), expected[0])
            assert torch.equal(accelerator.generator.get_state(), before)


def test_a_checkpoint_of_a_cpu_leaves_the_device_alone(monkeypatch):
    accelerator, checkpoint, run = Accelerator(), {}, SimpleNamespace(world_size=1, global_rank=0)
    monkeypatch.setattr(torch, "get_device_module", lambda device: accelerator)
    save_random_state(checkpoint, run, torch.device("cpu"), {})
    assert list(checkpoint) == ["seqkit_rng_state"]
    before = accelerator.generator.get_state()
    restore_random_state(rank_random_state(checkpoint, run), torch.device("xpu"))
    assert torch.equal(accelerator.generator.get_state(), before)
