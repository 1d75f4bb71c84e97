"""Every function of seqkit.packed on the strict device."""

import pytest
import torch

from seqkit import packed
from tests.device.cases import assert_same_on_device, moved
from tests.device.strict import waits
from tests.packed.cases import PER_SEQUENCE, PER_TOKEN, ragged

SIZES = [3, 7, 1, 3]
FUNCTIONS = {name: function for name, (function, _) in (PER_TOKEN | PER_SEQUENCE).items()} | {
    "to_padded": packed.to_padded,
    "to_padded, T first": lambda values: packed.to_padded(values, -1.0, 9, batch_first=False),
    "cat": lambda values: packed.cat([values, values]),
    "positions": packed.positions,
    "sequences": packed.sequences,
}


def values(in_order, shape=(2,)):
    sizes = sorted(SIZES, reverse=True) if in_order else SIZES
    made = packed.pack(ragged(sizes, shape, torch.float32), enforce_sorted=in_order)
    return made._replace(data=made.data.requires_grad_())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("in_order", [True, False])
def test_functions_have_the_values_and_gradients_of_the_cpu_and_do_not_wait(name, in_order):
    recorded = assert_same_on_device(FUNCTIONS[name], values(in_order))
    assert recorded == []


def test_packing_and_unpacking():
    lists = [rows.requires_grad_() for rows in ragged(SIZES, (2,), torch.float32)]
    padded = torch.randn(4, 7, 2, requires_grad=True)
    for function, argument in (
        (packed.pack, lists),
        (lambda x: packed.from_padded(x, SIZES), padded),
        (packed.unpack, values(True)),
    ):
        assert assert_same_on_device(function, argument) == []
    (wait,) = assert_same_on_device(packed.unpack, values(False))  # reads the permutation
    assert wait.kind == "read"


def test_transfers():
    kinds = [torch.randn(3, 2), torch.tensor(5), torch.tensor([True, False]), torch.ones(2).double()]
    kinds.append(torch.empty(0, 4))
    with waits() as recorded:
        there = [packed.to_device(each, torch.device("strict", 0)) for each in kinds]
    assert recorded == []
    wanted = values(False)
    there.append(moved(wanted))
    with waits() as recorded:
        *back, pack = packed.to_host(there)
    assert len(recorded) == 1
    for one, other in zip([*back, *pack], [*kinds, *wanted], strict=True):
        assert one.device.type == "cpu"
        assert torch.equal(one, other)


def test_to_host_keeps_what_is_on_the_cpu():
    host = torch.ones(2)
    assert packed.to_host([host, torch.zeros(2, device="strict")])[0].data_ptr() == host.data_ptr()
