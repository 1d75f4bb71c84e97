import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import PackedSequence

from seqkit.packed import PackedLayout, pack

LENGTHS = st.lists(st.integers(1, 9), max_size=8).map(lambda lengths: sorted(lengths, reverse=True))


def tokens(lengths):
    """The (position, rank) of each token, in packed order."""
    longest = max(lengths, default=0)
    return [(t, b) for t in range(longest) for b, length in enumerate(lengths) if t < length]


def packed_like(lengths, **options):
    return pack([torch.arange(length) for length in lengths], **options)


@given(LENGTHS)
def test_equals_a_list_of_the_tokens(lengths):
    layout, listed = PackedLayout.from_lengths(torch.tensor(lengths, dtype=torch.int64)), tokens(lengths)
    place, count = {token: n for n, token in enumerate(listed)}, len(listed)
    assert layout.num_tokens == count
    assert layout.num_sequences == len(lengths)
    assert (
        layout.sizes
        == layout.batch_sizes.tolist()
        == [sum(t < n for n in lengths) for t in range(max([0, *lengths]))]
    )
    assert layout.lengths.tolist() == lengths
    assert layout.positions.tolist() == [t for t, _ in listed]
    assert layout.ranks.tolist() == [b for _, b in listed]
    assert layout.starts.tolist() == [place[t, 0] for t in range(len(layout.sizes))]
    assert [layout.start(t) for t in range(len(layout.sizes) + 2)] == [*layout.starts.tolist(), count, count]
    assert layout.last.tolist() == [place[n - 1, b] for b, n in enumerate(lengths)]
    assert layout.previous.tolist() == [place.get((t - 1, b), count + b) for t, b in listed]
    assert layout.next.tolist() == [place.get((t + 1, b), count + b) for t, b in listed]
    assert layout.reversal.tolist() == [place[lengths[b] - 1 - t, b] for t, b in listed]
    assert layout.index(layout.positions, layout.ranks).tolist() == list(range(count))
    assert layout.by_sequence().tolist() == [place[t, b] for b, n in enumerate(lengths) for t in range(n)]


@given(LENGTHS, st.data())
def test_locates_tokens_in_values_and_lists_sequences_in_another_order(lengths, data):
    layout = PackedLayout.from_lengths(torch.tensor(lengths, dtype=torch.int64))
    offsets = [data.draw(st.integers(0, 50)) for _ in lengths]
    index = layout.gather_index(torch.tensor(offsets, dtype=torch.int64))
    assert index.tolist() == [offsets[b] + t for t, b in tokens(lengths)]
    order = data.draw(st.permutations(range(len(lengths))))
    place = {token: n for n, token in enumerate(tokens(lengths))}
    found = layout.by_sequence(torch.tensor(order, dtype=torch.int64))
    assert found.tolist() == [place[t, b] for b in order for t in range(lengths[b])]


def test_lengths_may_come_in_any_order():
    one, other = (PackedLayout.from_lengths(torch.tensor(lengths)) for lengths in ([1, 3, 2], [3, 2, 1]))
    assert torch.equal(one.batch_sizes, other.batch_sizes)


def test_packs_that_share_batch_sizes_share_one_layout():
    packed = packed_like([3, 1, 2])
    assert PackedLayout.of(packed) is PackedLayout.of(packed._replace(data=packed.data.double()))
    copy = PackedSequence(packed.data, packed.batch_sizes.clone())
    assert PackedLayout.of(packed) is not PackedLayout.of(copy)
    assert PackedLayout.of(packed).ranks is PackedLayout.of(packed).ranks


def test_batch_sizes_of_another_number_of_tokens_are_refused_each_time():
    packed = packed_like([3, 1, 2])
    other = packed._replace(data=torch.zeros(7))
    for _ in range(2):  # before and after the layout of these batch sizes is known
        with pytest.raises(RuntimeError, match="batch sizes are of 6 tokens, but data has 7"):
            PackedLayout.of(other)
        assert PackedLayout.of(packed).num_tokens == 6


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (torch.tensor([2.0, 1.0]), TypeError, r"batch sizes are torch.float32 of shape \(2,\); give int64"),
        (torch.tensor([[2, 1]]), TypeError, r"batch sizes are torch.int64 of shape \(1, 2\); give int64"),
        (torch.tensor([2, 1], dtype=torch.int32), RuntimeError, "batch sizes are torch.int32; give torch.int64"),
        (torch.tensor([1, 2]), RuntimeError, r"batch sizes are \[1, 2\]; they must not rise or be negative"),
        (torch.tensor([4, -1]), RuntimeError, r"batch sizes are \[4, -1\]; they must not rise or be negative"),
    ],
)
def test_batch_sizes_that_are_none_are_refused(sizes, error, message):
    with pytest.raises(error, match=message):
        PackedLayout.of(PackedSequence(torch.zeros(3), sizes))


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.* is deprecated:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
def test_tracing_is_refused_even_where_the_layout_is_known():
    packed = packed_like([2, 1])
    PackedLayout.of(packed)
    with pytest.raises(RuntimeError, match=r"torch.jit.trace would keep the lengths of this batch"):
        torch.jit.trace(lambda data: PackedLayout.of(packed._replace(data=data)).ranks + data, packed.data)


def test_a_layout_is_freed_with_its_batch_sizes():
    from seqkit.packed.layout import _layouts

    gc.collect()
    before = len(_layouts)
    packed = packed_like([3, 1, 2])
    assert PackedLayout.of(packed).positions.tolist() == [0, 0, 0, 1, 1, 2]
    assert len(_layouts) == before + 1
    del packed
    assert len(_layouts) == before


def test_a_layout_first_used_in_inference_mode_serves_training():
    values = torch.randn(6, 2, requires_grad=True)
    packed = PackedSequence(values, torch.tensor([3, 2, 1]))
    with torch.inference_mode():
        layout = PackedLayout.of(packed)
        assert layout.reversal.tolist() == [5, 4, 2, 3, 1, 0]
    values.index_select(0, layout.reversal).sum().backward()
    assert values.grad is not None


def test_a_compiled_graph_holds_a_layout():
    def ranks(packed):
        return packed.data * 2 + PackedLayout.of(packed).ranks

    compiled = torch.compile(ranks, backend="eager", fullgraph=True, dynamic=True)
    for lengths in ([3, 2, 1], [5, 5, 2, 2]):
        packed = packed_like(lengths)
        assert torch.equal(compiled(packed), ranks(packed))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_an_accelerator():
    on_cpu = PackedLayout.of(packed_like([4, 3, 1]))
    there = on_cpu.on(torch.device("cuda:0"))
    assert there is on_cpu.on(torch.device("cuda:0"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for name in ("starts", "positions", "ranks", "lengths", "last", "previous", "next", "reversal"):
            assert getattr(there, name).is_cuda
        there.by_sequence()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name in ("starts", "positions", "ranks", "lengths", "last", "previous", "next", "reversal"):
        assert torch.equal(getattr(there, name).cpu(), getattr(on_cpu, name))
