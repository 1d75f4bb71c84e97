import math
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from seqkit import packed

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
]

# Tokens (L, ...) -> (L, ...), and what the plain loop does with one sequence.
PER_TOKEN: dict[str, tuple[Callable[[PackedSequence], PackedSequence], Callable[[Tensor], Tensor]]] = {
    "apply": (lambda p: packed.apply(p, lambda x: x * x), lambda x: x * x),
    "reverse": (packed.reverse, lambda x: x.flip(0)),
    "shift 0": (lambda p: packed.shift(p, 0, 7), lambda x: x),
    "shift 1": (lambda p: packed.shift(p, 1, 7), lambda x: torch.cat([torch.full_like(x[:1], 7), x[:-1]])),
    "shift -1": (lambda p: packed.shift(p, -1, 7), lambda x: torch.cat([x[1:], torch.full_like(x[:1], 7)])),
    "shift -3": (
        lambda p: packed.shift(p, -3, 7),
        lambda x: torch.cat([x[3:], torch.full_like(x[:3], 7)]),
    ),
    "softmax": (packed.softmax, lambda x: x.softmax(0)),
}

# Tokens (L, ...) -> (...), and what the plain loop does with one sequence.
PER_SEQUENCE: dict[str, tuple[Callable[[PackedSequence], Tensor], Callable[[Tensor], Tensor]]] = {
    "first": (packed.first, lambda x: x[0]),
    "last": (packed.last, lambda x: x[-1]),
    "sum": (packed.sum, lambda x: x.sum(0)),
    "mean": (packed.mean, lambda x: x.mean(0)),
    "max": (packed.max, lambda x: x.amax(0)),
    "attend": (lambda p: packed.attend(p, p), lambda x: (x.softmax(0) * x).sum(0)),
}


def lengths(max_size: int = 40) -> st.SearchStrategy[list[int]]:
    """One sequence, many, ties (torch sorts more than 16 unstably), ones, and a giant among dwarfs."""
    ordinary = st.lists(st.integers(1, 9), min_size=1, max_size=max_size)
    giant = st.tuples(st.lists(st.integers(1, 3), max_size=max_size - 1), st.integers(100, 200)).flatmap(
        lambda drawn: st.permutations([*drawn[0], drawn[1]])
    )
    return st.one_of(ordinary, giant)


shapes = st.sampled_from([(), (3,), (2, 3)])


def ragged(sizes: list[int], shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(sizes))
    if dtype.is_floating_point or dtype.is_complex:
        return [torch.randn(size, *shape, generator=generator, dtype=dtype) for size in sizes]
    return [torch.randint(0, 100, (size, *shape), generator=generator).to(dtype) for size in sizes]


def assert_same_pack(got: PackedSequence, wanted: PackedSequence) -> None:
    assert type(got) is PackedSequence
    for mine, theirs in zip(got, wanted, strict=True):
        if theirs is None:
            assert mine is None
        else:
            assert_close(mine, theirs, rtol=0, atol=0)


@pytest.fixture(params=[False, True], ids=["sorts", "sorted"])
def enforce_sorted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def in_order(sizes: list[int], enforce_sorted: bool) -> list[int]:
    return sorted(sizes, reverse=True) if enforce_sorted else sizes


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
    def test_equal_lengths_stand_in_torchs_order(self, num_rows: int) -> None:
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
    @given(sizes=lengths(), shape=shapes, surplus=st.integers(0, 2))
    def test_to_padded_equals_torch(self, sizes: list[int], shape: tuple[int, ...], surplus: int) -> None:
        pack = packed.pack(ragged(sizes, shape))
        total = max(sizes) + surplus
        wanted, _ = pad_packed_sequence(pack, batch_first=True, padding_value=-1.0, total_length=total)
        assert_close(packed.to_padded(pack, -1.0, total), wanted, rtol=0, atol=0)

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


class TestStructure:
    @given(sizes=lengths())
    def test_tells_lengths_positions_and_sequences(self, sizes: list[int]) -> None:
        for enforce_sorted in (False, True):
            ordered = in_order(sizes, enforce_sorted)
            pack = packed.pack(ragged(ordered), enforce_sorted=enforce_sorted)
            steps = packed.pack([torch.arange(size) for size in ordered], enforce_sorted=enforce_sorted)
            rows = [torch.full((size,), row) for row, size in enumerate(ordered)]
            owners = packed.pack(rows, enforce_sorted=enforce_sorted)
            assert packed.lengths(pack).dtype == torch.int64
            assert packed.lengths(pack).tolist() == ordered
            assert torch.equal(packed.positions(pack), steps.data)
            assert torch.equal(packed.sequences(pack), owners.data)


def check_gradient(got: Tensor, inputs: list[Tensor], wanted: Tensor, rows: list[Tensor]) -> None:
    """Compare both gradients of one random projection of the result."""
    cotangent = torch.randn(got.shape, generator=torch.Generator().manual_seed(0), dtype=got.dtype)
    assert_close(torch.autograd.grad(got, inputs, cotangent), torch.autograd.grad(wanted, rows, cotangent))


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


class TestCat:
    @given(sizes=lengths())
    def test_joins_features(self, sizes: list[int]) -> None:
        one, other = ragged(sizes, (2, 3)), ragged(sizes, (2, 1))
        result = packed.cat([packed.pack(one), packed.pack(other)])
        wanted = packed.pack([torch.cat(pair, dim=-1) for pair in zip(one, other, strict=True)])
        assert_same_pack(result, wanted)

    @pytest.mark.parametrize(
        ("packs", "message"),
        [
            (
                [packed.pack(torch.zeros(5, 1), [3, 2]), packed.pack(torch.zeros(5, 1), [3, 1, 1])],
                "cat: pack 0 holds 5 tokens in 2 sequences and pack 1 5 in 3, of other lengths; "
                "pack both from the same rows",
            ),
            (
                [packed.pack(torch.zeros(5, 1), [3, 2]), packed.pack(torch.zeros(5, 1), [2, 3])],
                "cat: pack 0 and pack 1 hold their sequences in different orders; "
                "pack both with the same lengths, or sort the rows once and pack with enforce_sorted=True",
            ),
            (
                [
                    packed.pack(torch.zeros(5, 1), [3, 2]),
                    packed.pack(torch.zeros(5, 1), [3, 2], enforce_sorted=True),
                ],
                "cat: pack 0 and pack 1 hold their sequences in different orders; "
                "pack both with the same lengths, or sort the rows once and pack with enforce_sorted=True",
            ),
            (
                [packed.pack(torch.zeros(5), [3, 2]), packed.pack(torch.zeros(5), [3, 2])],
                "cat: data of shape (N,) has no feature dimension; make it (N, 1)",
            ),
        ],
    )
    def test_errors(self, packs: list[PackedSequence], message: str) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            packed.cat(packs)
        assert str(raised.value) == message


class TestApply:
    def test_refuses_another_number_of_tokens(self) -> None:
        with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole text is compared
            packed.apply(packed.pack(torch.zeros(5), [3, 2]), lambda x: x[:2])
        assert str(raised.value) == (
            "apply: 5 tokens became a tensor of shape (2,); the function must keep the first dimension"
        )


class TestShift:
    def test_next_and_previous_token(self) -> None:
        pack = packed.pack([torch.tensor([1, 2, 3]), torch.tensor([4])])
        assert [row.tolist() for row in packed.unpack(packed.shift(pack, -1, -100))] == [[2, 3, -100], [-100]]
        assert [row.tolist() for row in packed.unpack(packed.shift(pack, 1, 0))] == [[0, 1, 2], [0]]

    @given(sizes=lengths(6), steps=st.integers(-12, 12))
    def test_any_number_of_steps(self, sizes: list[int], steps: int) -> None:
        rows = ragged(sizes, (), torch.int64)
        for row, result in zip(rows, packed.unpack(packed.shift(packed.pack(rows), steps, -1)), strict=True):
            wanted = [row[t - steps].item() if 0 <= t - steps < len(row) else -1 for t in range(len(row))]
            assert result.tolist() == wanted


class TestReductions:
    def test_integers_and_booleans(self) -> None:
        rows = ragged([2, 5, 1], (2,), torch.uint8)
        assert_close(packed.sum(packed.pack(rows)), torch.stack([row.sum(0) for row in rows]))
        assert_close(packed.max(packed.pack(rows)), torch.stack([row.amax(0) for row in rows]))
        assert_close(packed.mean(packed.pack(rows)), torch.stack([row.float().mean(0) for row in rows]))
        truths = [row > 50 for row in rows]
        assert_close(packed.sum(packed.pack(truths)), torch.stack([truth.sum(0) for truth in truths]))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_half_precision_is_accumulated_in_single(self, dtype: torch.dtype) -> None:
        pack = packed.pack(torch.ones(5000, dtype=dtype), [4096, 904])
        assert packed.sum(pack).tolist() == [4096, 904]  # added up in float16: at most 2048
        assert packed.mean(pack).tolist() == [1, 1]
        assert packed.attend(pack, pack).tolist() == [1, 1]

    def test_equal_maxima_share_the_gradient_as_in_amax(self) -> None:
        rows = [torch.tensor([1.0, 3.0, 3.0]), torch.tensor([0.0, 0.0, 0.0, -1.0])]
        pack = packed.pack(rows)
        (gradient,) = torch.autograd.grad(
            packed.max(pack._replace(data=pack.data.requires_grad_())).sum(), pack.data
        )
        shares = packed.unpack(pack._replace(data=gradient))
        for row, share in zip(rows, shares, strict=True):
            assert_close(share, torch.autograd.functional.vjp(lambda x: x.amax(0), row)[1])
        assert_close(shares[1], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]))

    def test_maximum_of_infinities_and_nan(self) -> None:
        rows = [torch.tensor([-math.inf, -math.inf]), torch.tensor([1.0, math.nan]), torch.tensor([math.inf])]
        wanted = torch.stack([row.amax(0) for row in rows])
        assert_close(packed.max(packed.pack(rows)), wanted, equal_nan=True)

    def test_softmax_stays_in_range(self) -> None:
        rows = [torch.tensor([1e4, 1e4 - 1, -1e4]), torch.tensor([-math.inf, 0.0]), torch.tensor([-1e30])]
        result = packed.unpack(packed.softmax(packed.pack(rows)))
        assert_close(result, [row.softmax(0) for row in rows])

    @given(sizes=lengths(), shape=shapes)
    def test_attend_weighs_values_by_scores(self, sizes: list[int], shape: tuple[int, ...]) -> None:
        values, scores = ragged(sizes, shape), ragged([size + 1 for size in sizes])
        scores = [score[1:].requires_grad_() for score in scores]
        result = packed.attend(packed.pack(values), packed.pack(scores))
        wanted = torch.stack(
            [torch.tensordot(score.softmax(0), value, 1) for score, value in zip(scores, values, strict=True)]
        )
        assert_close(result, wanted)
        check_gradient(result, scores, wanted, scores)

    def test_attend_with_heads(self) -> None:
        values, scores = ragged([3, 1, 4], (2, 5)), ragged([3, 1, 4], (2,))
        result = packed.attend(packed.pack(values), packed.pack(scores))
        wanted = [
            torch.einsum("lk,lkd->kd", score.softmax(0), value) for score, value in zip(scores, values, strict=True)
        ]
        assert_close(result, torch.stack(wanted))
        one_column = packed.pack([score[:, :1] for score in scores])  # (N, 1), as nn.Linear(D, 1) gives it
        flat = packed.pack([value[:, 0] for value in values])
        assert_close(
            packed.attend(flat, one_column),
            packed.attend(flat, packed.apply(one_column, lambda x: x.squeeze(1))),
        )

    def test_attend_refuses_what_does_not_belong(self) -> None:
        values, scores = packed.pack(torch.zeros(5, 4), [3, 2]), packed.pack(torch.zeros(5, 3), [3, 2])
        with pytest.raises(ValueError, match="attend: pack 0 holds 5 tokens in 2 sequences and pack 1 5 in 3"):
            packed.attend(values, packed.pack(torch.zeros(5), [3, 1, 1]))
        with pytest.raises(RuntimeError, match="expanded size"):
            packed.attend(values, scores)
        with pytest.raises(RuntimeError, match="expand"):
            packed.attend(packed.apply(values, lambda x: x[:, 0]), scores)


class Recorder(TorchDispatchMode):
    """Count the operations and remember the largest tensor made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        self.calls += 1
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


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
def test_none_loops_over_steps_or_sequences(name: str) -> None:
    def calls(sizes: list[int]) -> int:
        pack = packed.pack(torch.zeros(sum(sizes), 2), sizes)
        with Recorder() as record:
            ALL[name](pack)
        return record.calls

    assert calls([2, 1]) == calls([300] + [2] * 200)


@pytest.mark.parametrize("name", ALL)
def test_none_waits_for_the_device(name: str, enforce_sorted: bool) -> None:
    """A meta tensor has no values, so whatever would wait for them raises."""
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
def test_an_empty_pack_passes_through(name: str) -> None:
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
def test_data_without_features_passes_through(name: str) -> None:
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
        if not name.startswith("_")
        and getattr(value, "__module__", "").startswith(packed.__name__)
        and name != "move"
    }
    assert set(packed.__all__) == public
