"""The device itself: it refuses what CUDA refuses, and records what waits on CUDA."""

import copy
import io
import signal
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import dropout
from torch.testing import assert_close

from tests.device.strict import WaitError, waits


def values(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "call",
    [
        lambda x, host: x + host,
        lambda x, host: host + x,
        lambda x, host: torch.cat([x, host]),
        lambda x, host: torch.cat([x.flatten(), torch.ones(1)]),
        lambda x, host: x @ host.T,
        lambda x, host: x.index_select(0, torch.tensor([0])),
        lambda x, host: host[x.argmax(0)],
        lambda x, host: host.copy_(host).add_(x),
        lambda x, host: torch.ones(()).add_(x.sum()),
        lambda x, host: torch.nn.functional.linear(x, host),
        lambda x, host: torch.nn.functional.embedding(torch.tensor([0]), x),
        lambda x, host: x.to("strict:1") + x,
        lambda x, host: torch.rand(3, device="strict", generator=torch.Generator()),
    ],
)
def test_two_devices_must_not_meet(call):
    host = values(2, 3)
    with pytest.raises(RuntimeError, match=r"on the same device|another tensor is on|the tensors are on|is on cpu"):
        call(host.to("strict"), host)


def test_what_cuda_allows():
    host = values(2, 3)
    x = host.to("strict")
    assert_close((x * torch.tensor(2.0)).cpu(), host * 2)
    assert_close(torch.where(x > 0, torch.tensor(1.0), torch.tensor(0.0)).cpu(), (host > 0).float())
    assert_close(x[torch.tensor([1, 0])].cpu(), host[[1, 0]])
    x[torch.tensor([0])] = 5.0
    assert (x[0] == 5).all()


READS = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool((x > 0).all()),
    "list": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "mask": lambda x: x[x > 0],
    "masked_select": lambda x: x.masked_select(x > 0),
    "put": lambda x: x.index_put_((x > 0,), x[0, 0].repeat(int((x > 0).cpu().sum()))),
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: x.long().abs().flatten().bincount(),
    "equal": lambda x: torch.equal(x, x),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.ones(2, dtype=torch.long, device="strict"), 0),
}
NO_WAITS = {
    "views": lambda x: x.T[1:].unsqueeze(0).squeeze(0).flatten().chunk(2),
    "in place": lambda x: x.clone().add_(1).relu_().zero_(),
    "fill a mask": lambda x: x.clone().__setitem__(x > 0, 0.0),
    "factories": lambda x: (
        torch.arange(3, device="strict"),
        x.new_zeros(2),
        torch.full((2,), 7.0, device="strict"),
    ),
    "sizes": lambda x: x.repeat_interleave(torch.ones(2, dtype=torch.long, device="strict"), 0, output_size=2),
    "pinned": lambda x: values(3).pin_memory().to("strict", non_blocking=True),
}


@pytest.mark.parametrize("name", READS)
def test_reads_are_recorded(name):
    x = values(2, 3).to("strict")
    with waits() as recorded:
        READS[name](x)
    assert {wait.kind for wait in recorded} == {"read"}
    assert name == "put" or len(recorded) == 1


@pytest.mark.parametrize("name", NO_WAITS)
def test_what_does_not_wait(name):
    x = values(2, 3).to("strict")
    with waits() as recorded:
        NO_WAITS[name](x)
    assert recorded == []


def test_copies_from_the_cpu_are_recorded_and_the_first_wait_can_be_an_error():
    with waits() as recorded:
        values(3).to("strict", non_blocking=True)
        torch.tensor([1.0], device="strict")
    assert [wait.kind for wait in recorded] == ["write", "write"]
    x = values(3).to("strict")
    with pytest.raises(WaitError, match=r"^read aten::_local_scalar_dense at test_strict.py"), waits(stop=True):
        x.sum().item()
    x.sum().item()


def test_gradients_and_optimisers():
    modules = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)) for _ in "ab"]
    modules[1].load_state_dict(modules[0].state_dict())
    modules[1].to("strict")
    for module, x in zip(modules, (values(5, 3), values(5, 3).to("strict")), strict=True):
        optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
        for _ in range(3):
            module(x).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            optimizer.zero_grad()
    for one, other in zip(*(module.parameters() for module in modules), strict=True):
        assert other.device == torch.device("strict", 0)
        assert_close(one, other.cpu())


def test_each_device_has_its_own_random_state():
    torch.manual_seed(5)
    host = torch.rand(4)
    assert torch.equal(torch.rand(4, device="strict").cpu(), host)
    state = torch.strict.get_rng_state()
    dropped = dropout(torch.ones(50, device="strict"))
    before = torch.get_rng_state()
    assert not torch.equal(dropout(torch.ones(50, device="strict")).cpu(), dropped.cpu())
    assert torch.equal(torch.get_rng_state(), before)
    torch.strict.set_rng_state(state)
    assert torch.equal(dropout(torch.ones(50, device="strict")).cpu(), dropped.cpu())
    own = [torch.randn(3, device="strict", generator=torch.Generator("strict").manual_seed(1)) for _ in "ab"]
    assert torch.equal(own[0].cpu(), own[1].cpu())


def test_modules_are_copied_saved_and_loaded():
    module = torch.nn.Linear(2, 3).to("strict")
    stored = io.BytesIO()
    torch.save(copy.deepcopy(module).state_dict(), stored)
    for place in (None, "cpu", "strict:1"):
        stored.seek(0)
        weight = torch.load(stored, map_location=place, weights_only=True)["weight"]
        assert weight.device == torch.device(place or "strict:0")
        assert_close(weight.cpu(), module.weight.detach().cpu())


_READ = """
import ctypes
import torch
from tests.device import strict

strict.load()
ctypes.c_float.from_address(torch.ones(3, device="strict").data_ptr()).value
"""


def test_the_cpu_cannot_read_the_memory():
    assert subprocess.run([sys.executable, "-c", _READ], stderr=subprocess.PIPE).returncode == -signal.SIGSEGV
