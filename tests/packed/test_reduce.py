import math

import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from seqkit import packed
from tests.packed.cases import check_gradient, lengths, ragged, shapes


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

    def test_attend_refuses_packs_of_different_structure(self) -> None:
        values, scores = packed.pack(torch.zeros(5, 4), [3, 2]), packed.pack(torch.zeros(5, 3), [3, 2])
        with pytest.raises(ValueError, match=r"attend: pack 0 .* in 2 sequences and pack 1 .* in 3"):
            packed.attend(values, packed.pack(torch.zeros(5), [3, 1, 1]))
        with pytest.raises(RuntimeError, match="expanded size"):
            packed.attend(values, scores)
        with pytest.raises(RuntimeError, match="expand"):
            packed.attend(packed.apply(values, lambda x: x[:, 0]), scores)
