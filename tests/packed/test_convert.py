import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence
from torch.testing import assert_close

from seqkit import packed
from tests.packed.cases import DTYPES, Recorder, assert_same_pack, in_order, lengths, ragged, shapes


class TestPack:
    def test_a_worked_example(self) -> None:
        result = packed.pack([torch.tensor([1, 2, 3]), torch.tensor([3, 4])])
        assert result.data.tolist() == [1, 3, 2, 4, 3]
        assert result.batch_sizes.tolist() == [2, 2, 1]

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @given(sizes=lengths(), shape=shapes)
    def test_equals_torch_bit_for_bit(self, dtype: torch.dtype, sizes: list[int], shape: tuple[int, ...]) -> None:
        for enforce_sorted in (False, True):
            rows = ragged(in_order(sizes, enforce_sorted), shape, dtype)
            wanted = pack_sequence(rows, enforce_sorted=enforce_sorted)
            assert_same_pack(packed.pack(rows, enforce_sorted=enforce_sorted), wanted)
            counts = torch.tensor([len(row) for row in rows])
            assert_same_pack(packed.pack(torch.cat(rows), counts, enforce_sorted=enforce_sorted), wanted)

    @pytest.mark.parametrize("num_rows", [16, 17, 100, 5000])
    def test_equal_lengths_are_in_torchs_order(self, num_rows: int) -> None:
        sizes = torch.randint(1, 5, (num_rows,), generator=torch.Generator().manual_seed(num_rows)).tolist()
        rows = ragged(sizes)
        assert_same_pack(packed.pack(rows), pack_sequence(rows, enforce_sorted=False))

    def test_lengths_of_any_integer_type_and_layout(self) -> None:
        values = torch.arange(12).reshape(2, 6).T  # (6, 2), not contiguous
        wanted = pack_sequence(list(values.split([2, 4])), enforce_sorted=False)
        assert_same_pack(packed.pack(values, [2, 4]), wanted)
        assert_same_pack(packed.pack(values, torch.tensor([2, 4], dtype=torch.int32)), wanted)

    def test_gradient(self, enforce_sorted: bool) -> None:
        rows = [row.requires_grad_() for row in ragged(in_order([2, 3, 1, 3], enforce_sorted), (2,))]
        pack = packed.pack
        assert torch.autograd.gradcheck(lambda *xs: pack(xs, enforce_sorted=enforce_sorted).data, rows)
        values = torch.cat(rows).detach().requires_grad_()
        counts = [len(row) for row in rows]
        assert torch.autograd.gradcheck(lambda x: pack(x, counts, enforce_sorted=enforce_sorted).data, (values,))

    def test_is_never_padded_and_never_loops(self) -> None:
        def cost(sizes: list[int]) -> tuple[int, int]:
            values = torch.zeros(sum(sizes), 3)
            with Recorder() as record:
                packed.unpack(packed.pack(values, sizes))
            return record.calls, record.largest

        calls, largest = cost([1] * 50 + [2000])
        assert largest == 3 * 2050  # padded: 3 * 51 * 2000
        assert cost([2, 1])[0] == calls

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                (torch.zeros(3),),
                "pack: values in one tensor need lengths, the number of tokens of each row",
            ),
            (
                (torch.zeros(3), [2, 2]),
                "pack: lengths sum to 4 but there are 3 values; "
                "give the rows' values one after the other, without padding",
            ),
            (([torch.zeros(3)], [3]), "pack: a list of sequences has its own lengths; leave them out"),
            (
                ([],),
                "pack: an empty list has no dtype; give values of shape (0, ...) and lengths []",
            ),
            (
                ([torch.zeros(3, 2), torch.zeros(1, 2), torch.zeros(1, 4)],),
                "pack: row 2 has (trailing shape, dtype, device) ((4,), torch.float32, device(type='cpu')) "
                "but row 0 ((2,), torch.float32, device(type='cpu')); "
                "rows packed together differ in length only",
            ),
            (
                ([torch.zeros(3), torch.zeros(1, dtype=torch.int64)],),
                "pack: row 1 has (trailing shape, dtype, device) ((), torch.int64, device(type='cpu')) "
                "but row 0 ((), torch.float32, device(type='cpu')); "
                "rows packed together differ in length only",
            ),
            (
                ([torch.zeros(3), torch.zeros(0)],),
                "row 1 has length 0; a PackedSequence cannot hold an empty sequence: "
                "drop the row, or give it a token",
            ),
            (
                (torch.zeros(3), [4, -1]),
                "row 1 has length -1; a PackedSequence cannot hold an empty sequence: "
                "drop the row, or give it a token",
            ),
            (
                (torch.zeros(3), torch.zeros(3, dtype=torch.int64, device="meta")),
                "lengths are on meta; keep them on the CPU, where batch_sizes must be",
            ),
        ],
    )
    def test_errors(self, arguments: tuple[object, ...], message: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            packed.pack(*arguments)  # type: ignore[arg-type]
        assert str(raised.value) == message

    def test_untrue_enforce_sorted(self) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            packed.pack(torch.zeros(7), [3, 1, 3], enforce_sorted=True)
        assert str(raised.value) == (
            "row 2 has length 3 but row 1 only 1; "
            "enforce_sorted promises the longest first: sort the rows, or leave it out"
        )


class TestUnpack:
    @given(sizes=lengths(), shape=shapes)
    def test_inverts_pack(self, sizes: list[int], shape: tuple[int, ...]) -> None:
        for enforce_sorted in (False, True):
            rows = ragged(in_order(sizes, enforce_sorted), shape)
            assert_close(packed.unpack(packed.pack(rows, enforce_sorted=enforce_sorted)), rows, rtol=0, atol=0)

    def test_gradient(self, enforce_sorted: bool) -> None:
        pack = packed.pack(ragged(in_order([2, 3, 1, 3], enforce_sorted), (2,)), enforce_sorted=enforce_sorted)
        data = pack.data.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: packed.unpack(pack._replace(data=x)), (data,))


class TestPadded:
    @given(sizes=lengths(), shape=shapes, surplus=st.integers(0, 2), batch_first=st.booleans())
    def test_to_padded_equals_torch(
        self, sizes: list[int], shape: tuple[int, ...], surplus: int, batch_first: bool
    ) -> None:
        pack = packed.pack(ragged(sizes, shape))
        total = max(sizes) + surplus
        wanted, _ = pad_packed_sequence(pack, batch_first=batch_first, padding_value=-1.0, total_length=total)
        assert_close(packed.to_padded(pack, -1.0, total, batch_first=batch_first), wanted, rtol=0, atol=0)

    @given(sizes=lengths(), shape=shapes, surplus=st.integers(0, 2))
    def test_from_padded_equals_torch(self, sizes: list[int], shape: tuple[int, ...], surplus: int) -> None:
        for enforce_sorted in (False, True):
            counts = torch.tensor(in_order(sizes, enforce_sorted))
            padded = torch.randn(len(sizes), max(sizes) + surplus, *shape)
            wanted = pack_padded_sequence(padded, counts, batch_first=True, enforce_sorted=enforce_sorted)
            assert_same_pack(packed.from_padded(padded, counts, enforce_sorted=enforce_sorted), wanted)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_any_dtype(self, dtype: torch.dtype) -> None:
        pack = packed.pack(ragged([2, 3, 1], (2,), dtype))
        padded = packed.to_padded(pack)
        assert padded.dtype == dtype
        assert_same_pack(packed.from_padded(padded, [2, 3, 1]), pack)

    def test_gradients(self) -> None:
        pack = packed.pack(ragged([2, 3, 1, 3], (2,)))
        data = pack.data.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: packed.to_padded(pack._replace(data=x), 1.0, 4), (data,))
        padded = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: packed.from_padded(x, [2, 4, 1]).data, (padded,))

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (
                lambda: packed.from_padded(torch.zeros(2, 3), [3, 1, 1]),
                "from_padded: 3 lengths for 2 rows; give each row one",
            ),
            (
                lambda: packed.from_padded(torch.zeros(2, 3), [3, 4]),
                "from_padded: row 1 has length 4 but the padded width is 3; the dimensions are (B, T, ...)",
            ),
            (
                lambda: packed.to_padded(packed.pack([torch.zeros(3)]), total_length=2),
                "to_padded: total_length is 2 but the longest sequence has 3 tokens",
            ),
        ],
    )
    def test_errors(self, call: Callable[[], object], message: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            call()
        assert str(raised.value) == message


STRIDED = pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype stage:UserWarning")


class TestNested:
    """Against the plain loop over the rows, one at a time."""

    @STRIDED
    @pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @given(sizes=lengths(), shape=shapes)
    def test_from_nested_equals_pack(
        self, layout: torch.layout, dtype: torch.dtype, sizes: list[int], shape: tuple[int, ...]
    ) -> None:
        for enforce_sorted in (False, True):
            rows = ragged(in_order(sizes, enforce_sorted), shape, dtype)
            nested = torch.nested.nested_tensor(rows, layout=layout)
            wanted = pack_sequence(rows, enforce_sorted=enforce_sorted)
            assert_same_pack(packed.from_nested(nested, enforce_sorted=enforce_sorted), wanted)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @given(sizes=lengths(), shape=shapes)
    def test_to_nested_gives_the_rows_in_their_order(
        self, dtype: torch.dtype, sizes: list[int], shape: tuple[int, ...]
    ) -> None:
        for enforce_sorted in (False, True):
            rows = ragged(in_order(sizes, enforce_sorted), shape, dtype)
            nested = packed.to_nested(packed.pack(rows, enforce_sorted=enforce_sorted))
            assert nested.layout == torch.jagged
            assert nested.dtype == dtype
            assert nested.offsets().tolist() == [0, *torch.tensor([len(row) for row in rows]).cumsum(0).tolist()]
            assert_close(list(nested.unbind()), rows, rtol=0, atol=0)
            assert_same_pack(
                packed.from_nested(nested, enforce_sorted=enforce_sorted),
                packed.pack(rows, enforce_sorted=enforce_sorted),
            )

    @STRIDED
    @pytest.mark.parametrize("layout", [torch.jagged, torch.strided], ids=str)
    @given(sizes=lengths(12))
    def test_gradients_are_those_of_each_row_alone(self, layout: torch.layout, sizes: list[int]) -> None:
        rows = [row.requires_grad_() for row in ragged(sizes, (2,))]
        weights = ragged(sizes, (2,))
        result = packed.from_nested(torch.nested.as_nested_tensor(rows, layout=layout))
        found = packed.unpack(result._replace(data=result.data**2))
        total = torch.stack([(a * b).sum() for a, b in zip(found, weights, strict=True)]).sum()
        gradients = torch.autograd.grad(total, rows)
        for row, weight, gradient in zip(rows, weights, gradients, strict=True):
            assert_close(gradient, torch.autograd.grad((row**2 * weight).sum(), row)[0], rtol=0, atol=0)

    @given(sizes=lengths(12))
    def test_gradient_of_to_nested(self, sizes: list[int]) -> None:
        rows, weights = ragged(sizes, (2,)), ragged(sizes, (2,))
        pack = packed.pack(rows)
        data = pack.data.requires_grad_()
        nested = packed.to_nested(pack._replace(data=data))
        (gradient,) = torch.autograd.grad((nested.values() * torch.cat(weights)).sum(), data)
        assert_same_pack(pack._replace(data=gradient), packed.pack(weights))

    def test_gaps_between_rows(self) -> None:
        values = torch.arange(10.0, requires_grad=True)
        nested = torch.nested.nested_tensor_from_jagged(
            values, torch.tensor([0, 4, 7, 10]), lengths=torch.tensor([2, 3, 1])
        )
        result = packed.from_nested(nested)
        assert [row.tolist() for row in packed.unpack(result)] == [[0, 1], [4, 5, 6], [7]]
        (gradient,) = torch.autograd.grad(result.data.sum(), values)
        assert gradient.tolist() == [1, 1, 0, 0, 1, 1, 1, 1, 0, 0]

    def test_offsets_of_another_integer_type(self) -> None:
        nested = torch.nested.nested_tensor_from_jagged(
            torch.arange(3.0), torch.tensor([0, 1, 3], dtype=torch.int32)
        )
        assert [row.tolist() for row in packed.unpack(packed.from_nested(nested))] == [[0], [1, 2]]

    def test_no_rows(self) -> None:
        none = packed.from_nested(packed.to_nested(packed.pack(torch.zeros(0, 2), [])))
        assert none.data.shape == (0, 2)
        assert len(none.batch_sizes) == 0

    def test_is_never_padded_and_never_loops(self) -> None:
        def cost(sizes: list[int]) -> tuple[int, int]:
            nested = packed.to_nested(packed.pack(torch.zeros(sum(sizes), 3), sizes))
            with Recorder() as record:
                packed.to_nested(packed.from_nested(nested))
            return record.calls, record.largest

        calls, largest = cost([1] * 50 + [2000])
        assert largest <= 3 * 2050  # padded: 3 * 51 * 2000
        assert cost([2, 1])[0] == calls

    @STRIDED
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (
                lambda: packed.from_nested(torch.zeros(2, 3)),
                "from_nested: a tensor of shape (2, 3) is not nested; use from_padded and its lengths",
            ),
            (
                lambda: packed.from_nested(
                    packed.to_nested(packed.pack(torch.zeros(4, 2), [3, 1])).transpose(1, 2)
                ),
                "from_nested: rows differ in another dimension than the second of ",
            ),
            (
                lambda: packed.from_nested(
                    torch.nested.nested_tensor_from_jagged(torch.zeros(3), torch.tensor([0, 2, 2, 3]))
                ),
                "row 1 has length 0; a PackedSequence cannot hold an empty sequence: drop the row",
            ),
            (
                lambda: packed.from_nested(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(0)])),
                "row 1 has length 0; a PackedSequence cannot hold an empty sequence: drop the row",
            ),
            (
                lambda: packed.from_nested(torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(2, 4)])),
                "pack: row 1 has (trailing shape, dtype, device) ((4,), ",
            ),
            (
                lambda: packed.from_nested(
                    packed.to_nested(packed.pack(torch.zeros(3), [1, 2])), enforce_sorted=True
                ),
                "row 1 has length 2 but row 0 only 1; enforce_sorted promises the longest first",
            ),
        ],
        ids=["plain", "transposed", "empty", "empty_strided", "two_dimensions", "unsorted"],
    )
    def test_errors(self, call: Callable[[], object], message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            call()


@pytest.mark.parametrize("sizes", [[1, 1, 1], [2, 1]])
def test_unpacked_sequences_share_no_memory_with_the_pack(sizes):
    made = packed.pack([torch.zeros(size, 2) for size in sizes], enforce_sorted=True)
    for sequence, size in zip(packed.unpack(made), sizes, strict=True):
        assert sequence.shape == (size, 2)
        sequence += 1
    assert not made.data.any()
