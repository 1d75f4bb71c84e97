import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence

from seqkit import packed
from tests.packed.cases import assert_same_pack, in_order, lengths, ragged


class TestStructure:
    @given(sizes=lengths())
    def test_lengths_positions_and_sequences(self, sizes: list[int]) -> None:
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
                "cat: pack 0 holds 5 tokens in 2 sequences and pack 1 holds 5 tokens in 3 sequences, "
                "of different lengths; pack both from the same rows",
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
