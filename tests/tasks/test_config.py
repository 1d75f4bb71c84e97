from functools import partial

import pytest

from seqkit.nn import LSTM, LastPool
from seqkit.tasks.config import as_config


def test_classes_and_partials_become_class_paths():
    assert as_config("pooling", LastPool) == {"class_path": "seqkit.nn.LastPool"}
    assert as_config("encoder", partial(LSTM, hidden_size=3)) == {
        "class_path": "seqkit.nn.LSTM",
        "init_args": {"hidden_size": 3},
    }


def test_plain_values_stay_and_containers_are_searched():
    given = {"a": [1, 2.0, None], "b": {"c": (True, "x"), "d": LastPool}}
    expected = {"a": [1, 2.0, None], "b": {"c": [True, "x"], "d": {"class_path": "seqkit.nn.LastPool"}}}
    assert as_config("given", given) == expected


@pytest.mark.parametrize("value", [lambda size: size, partial(LSTM, 3), partial(print, sep=""), object()])
def test_what_cannot_be_rebuilt_is_named(value):
    with pytest.raises(TypeError, match=r"^encoder\['x'\]=.* cannot be kept in a checkpoint; give a class"):
        as_config("encoder", {"x": value})
