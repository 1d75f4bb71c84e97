import datetime
import re

import numpy as np
import pyarrow as pa
import pytest

from seqkit.data.rows.checks import RowError
from seqkit.data.rows.values import to_arrow


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2.5], pa.float64()),
        (["a", None], pa.string()),
        ([[True], [], None], pa.list_(pa.bool_())),
        ([[[1], [2, 3]], []], pa.list_(pa.list_(pa.int64()))),
        ([np.float32(1), np.float32(2)], pa.float32()),
        ([("a", "b"), np.array(["c"])], pa.list_(pa.string())),
        ([datetime.date(2024, 1, 31)], pa.date32()),
        ([[], []], pa.list_(pa.null())),
    ],
)
def test_types_and_values(values, kind):
    found = to_arrow(values)
    assert found.type == kind
    expected = [list(value) if isinstance(value, tuple | np.ndarray) else value for value in values]
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, "x"], "row 2 (column 'c'): 'x' (str), but row 0 has 1 (int); all values need the same type"),
        (["a", None, 3], "row 2 (column 'c'): 3 (int), but row 0 has 'a' (str); all values"),
        ([True, 1], "row 1 (column 'c'): 1 (int), but row 0 has True (bool); all values"),
        ([["a"], "b"], "row 1 (column 'c'): 'b' (str), but row 0 has 'a' (str in 1 list); all values"),
        ([[1], [[2]]], "row 1 (column 'c'): 2 (int in 2 lists), but row 0 has 1 (int in 1 list); all values"),
        ([["a", "b"], ["c", 4]], "row 1 (column 'c'): 4 (int in 1 list), but row 0 has 'a' (str in 1 list)"),
        (
            ["a", float("nan")],
            "row 1 (column 'c'): NaN (float), but row 0 has 'a' (str); fill it in (frame.fillna)",
        ),
        ([np.nan, "a"], "row 0 (column 'c'): NaN (float), but row 1 has 'a' (str); fill it in (frame.fillna)"),
        ([["a"], ["b", np.nan]], "row 1 (column 'c'): NaN (float), but row 0 has 'a' (str in 1 list)"),
        (["a", "b\ud800"], "row 1 (column 'c'): '\\ud800' at position 1 is half of a character"),
    ],
)
def test_errors_name_the_row_both_values_and_types(values, message):
    with pytest.raises(RowError, match=re.escape(message)):
        to_arrow(values, "c")


def test_values_of_a_type_that_arrow_lacks():
    class Own:
        pass

    with pytest.raises(RowError, match=r"row 1: .*Own.*; give numbers, texts, booleans or dates, or lists of them"):
        to_arrow([None, Own()])
    with pytest.raises(RowError, match=r"row 0: .*; give numbers"):
        to_arrow([2**70])
