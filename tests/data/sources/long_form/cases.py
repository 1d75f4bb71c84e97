"""A table in long form: readings of machines, one row an hour."""

import pandas

# Rows of the groups alternate, and the hours are not in order.
READINGS = {
    "machine": ["b", "a", "b", "c", "a", "b"],
    "hour": [3, 1, 1, 7, 0, 2],
    "heat": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
    "speed": [10, 20, 30, 40, 50, 60],
    "state": ["ok", "hot", None, "ok", "ok", "hot"],
    "model": ["new", "old", "new", "new", "old", "new"],
}

SEQUENCES = [
    {
        "machine": "b",
        "hour": [1, 2, 3],
        "heat": [2.5, 5.5, 0.5],
        "speed": [30, 60, 10],
        "state": [None, "hot", "ok"],
        "model": "new",
    },
    {
        "machine": "a",
        "hour": [0, 1],
        "heat": [4.5, 1.5],
        "speed": [50, 20],
        "state": ["ok", "hot"],
        "model": "old",
    },
    {"machine": "c", "hour": [7], "heat": [3.5], "speed": [40], "state": ["ok"], "model": "new"},
]


def frame(**changed):
    return pandas.DataFrame(READINGS | changed)
