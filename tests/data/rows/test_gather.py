import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqkit.data.rows import gather as module
from seqkit.data.rows.gather import gather
from seqkit.data.rows.sorted_rows import SortedRows


@pytest.mark.skipif(module.load_library("gather") is None, reason="built without a compiler")
@pytest.mark.parametrize("dtype", ["int8", "int32", "float16", "float32", "float64"])
@given(st.lists(st.integers(1, 9) | st.just(60), min_size=1, max_size=12), st.sampled_from([1, 3, 80]), st.data())
def test_equals_the_index(dtype, lengths, width, data):
    items = np.arange(6000).astype(dtype)
    begins = np.array([data.draw(st.integers(0, len(items) - length * width)) for length in lengths])
    rows = SortedRows(np.array(lengths))
    found = gather(items, begins[rows.order], rows.batch_sizes.numpy(), width)
    wanted = items[rows.index(begins, width)[:, None] + np.arange(width)]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(module, "load_library", lambda name: None)
    assert gather(np.zeros(4, np.int32), np.zeros(1, np.int64), np.ones(2, np.int64), 2) is None
