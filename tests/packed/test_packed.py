"""What holds for all functions of the package."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.testing import assert_close

from seqkit import packed
from tests.packed.cases import (
    PER_SEQUENCE,
    PER_TOKEN,
    Recorder,
    assert_same_pack,
    check_gradient,
    in_order,
    lengths,
    ragged,
    shapes,
)


class TestAgainstThePlainLoop:
    @pytest.mark.parametrize("name", PER_TOKEN)
    @given(sizes=lengths(), shape=shapes)
    def test_per_token(self, name: str, sizes: list[int], shape: tuple[int, ...]) -> None:
        function, plain = PER_TOKEN[name]
        for enforce_sorted in (False, True):
            rows = [row.requires_grad_() for row in ragged(in_order(sizes, enforce_sorted), shape)]
            result = function(packed.pack(rows, enforce_sorted=enforce_sorted))
            wanted = packed.pack([plain(row) for row in rows], enforce_sorted=enforce_sorted)
            assert_close(tuple(result)[:2], tuple(wanted)[:2])
            assert_close(result.sorted_indices, wanted.sorted_indices)
            check_gradient(result.data, rows, wanted.data, rows)

    @pytest.mark.parametrize("name", PER_SEQUENCE)
    @given(sizes=lengths(), shape=shapes)
    def test_per_sequence(self, name: str, sizes: list[int], shape: tuple[int, ...]) -> None:
        function, plain = PER_SEQUENCE[name]
        for enforce_sorted in (False, True):
            rows = [row.requires_grad_() for row in ragged(in_order(sizes, enforce_sorted), shape)]
            result = function(packed.pack(rows, enforce_sorted=enforce_sorted))
            wanted = torch.stack([plain(row) for row in rows])
            assert_close(result, wanted)
            check_gradient(result, rows, wanted, rows)

    @pytest.mark.parametrize("name", [*PER_TOKEN, *PER_SEQUENCE])
    def test_gradcheck(self, name: str) -> None:
        function, _ = {**PER_TOKEN, **PER_SEQUENCE}[name]
        pack = packed.pack(ragged([2, 4, 1, 4], (2,)))

        def call(data: Tensor) -> Tensor:
            result = function(pack._replace(data=data))
            return result.data if isinstance(result, PackedSequence) else result

        data = pack.data.requires_grad_()
        assert torch.autograd.gradcheck(call, (data,))
        assert torch.autograd.gradgradcheck(call, (data,))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
    @pytest.mark.parametrize("name", [*PER_TOKEN, *PER_SEQUENCE])
    def test_keeps_the_floating_dtype(self, name: str, dtype: torch.dtype) -> None:
        function, plain = {**PER_TOKEN, **PER_SEQUENCE}[name]
        rows = ragged([2, 4, 1, 4], (2,), dtype)
        result = function(packed.pack(rows))
        results = packed.unpack(result) if isinstance(result, PackedSequence) else list(result)
        for got, row in zip(results, rows, strict=True):
            assert got.dtype == dtype
            assert_close(got.double(), plain(row.double()), rtol=0, atol=4 * torch.finfo(dtype).eps)


ALL: dict[str, Callable[[PackedSequence], object]] = {
    **{name: function for name, (function, _) in (PER_TOKEN | PER_SEQUENCE).items()},
    "positions": packed.positions,
    "sequences": packed.sequences,
    "lengths": packed.lengths,
    "to_padded": packed.to_padded,
    "cat": lambda p: packed.cat([p, p]),
    "unpack": packed.unpack,
}


@pytest.mark.parametrize("name", ALL)
def test_no_function_loops_over_steps_or_sequences(name: str) -> None:
    def calls(sizes: list[int]) -> int:
        pack = packed.pack(torch.zeros(sum(sizes), 2), sizes)
        with Recorder() as record:
            ALL[name](pack)
        return record.calls

    assert calls([2, 1]) == calls([300] + [2] * 200)


@pytest.mark.parametrize("name", ALL)
def test_no_function_waits_for_the_device(name: str, enforce_sorted: bool) -> None:
    """A meta tensor has no values, so a function that waits for them raises."""
    pack = packed.pack(torch.zeros(9, 2, device="meta"), [5, 3, 1], enforce_sorted=enforce_sorted)
    if name in ("lengths", "unpack") and not enforce_sorted:
        with pytest.raises(NotImplementedError, match="meta"):
            ALL[name](pack)
    else:
        ALL[name](pack)


def empty_packs() -> Iterator[PackedSequence]:
    for enforce_sorted in (False, True):
        yield packed.pack(torch.zeros(0, 2), [], enforce_sorted=enforce_sorted)
        yield packed.from_padded(torch.zeros(0, 3, 2), [], enforce_sorted=enforce_sorted)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_pack(name: str) -> None:
    for pack in empty_packs():
        result = ALL[name](pack)
        if isinstance(result, PackedSequence):
            assert result.data.shape == (0, 4 if name == "cat" else 2)
            assert result.batch_sizes.tolist() == []
        elif isinstance(result, Tensor):
            wanted = {"positions": (0,), "sequences": (0,), "lengths": (0,), "to_padded": (0, 0, 2)}
            assert result.shape == wanted.get(name, (0, 2))
        else:
            assert result == []


@pytest.mark.parametrize("name", ALL)
def test_data_without_features(name: str) -> None:
    pack = packed.pack(torch.zeros(6, 0), [2, 3, 1])
    assert_same_pack(packed.pack(packed.unpack(pack)), pack)
    result = ALL[name](pack)
    if name in PER_SEQUENCE:
        assert isinstance(result, Tensor)
        assert result.shape == (3, 0)


def test_public_names_are_all_listed() -> None:
    public = {
        name
        for name, value in vars(packed).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(f"{packed.__name__}.")
    }
    assert set(packed.__all__) == public
