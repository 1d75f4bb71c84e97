"""Transfers on a machine without an accelerator; tests/device has those to and from a second device."""

import pytest
import torch

from seqkit import packed


@pytest.mark.parametrize("in_order", [True, False])
def test_to_host_keeps_the_memory_and_drops_the_gradient_on_the_cpu(in_order: bool) -> None:
    lists = [torch.randn(n, 2, requires_grad=True) for n in ((3, 2, 1) if in_order else (2, 3, 1))]
    pack, single = packed.pack(lists, enforce_sorted=in_order), torch.ones(4, requires_grad=True) * 2
    found, other = packed.to_host([pack, single])
    assert (found.data.data_ptr(), other.data_ptr()) == (pack.data.data_ptr(), single.data_ptr())
    assert not found.data.requires_grad
    assert not other.requires_grad
    assert found.batch_sizes is pack.batch_sizes
    for mine, given in zip(found[2:], pack[2:], strict=True):
        assert (mine is None) == (given is None) == in_order
        assert in_order or torch.equal(mine, given)
    for mine, given in zip(packed.unpack(found), lists, strict=True):
        assert torch.equal(mine, given)


def test_to_host_of_nothing() -> None:
    assert packed.to_host([]) == []


def test_to_device_without_pinned_memory() -> None:
    values = torch.arange(3)
    assert packed.to_device(values, torch.device("cpu")) is values
    there = packed.to_device(values, torch.device("meta"))
    assert (there.device.type, there.shape, there.dtype) == ("meta", values.shape, values.dtype)
    assert packed.to_device(there, torch.device("meta")) is there


@pytest.mark.parametrize(
    ("kind", "pins"), [("cuda", True), ("xpu", True), ("mps", False), ("cpu", False), (None, False)]
)
def test_memory_is_pinned_for_accelerators_that_copy_from_it(
    kind: str | None, pins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: kind is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind or "cuda"))
    assert packed.pins_memory() is pins
