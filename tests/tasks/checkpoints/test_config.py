from functools import partial
from typing import TypedDict, Unpack

import pytest

from seqkit.nn import LSTM, LastPool
from seqkit.tasks.checkpoints.config import as_config, given_arguments, hide_typed_dicts


class Options(TypedDict, total=False):
    size: int


class Base:
    def __init__(self, first, *, size=3, **more):
        self.given = given_arguments(self)


class Child(Base):
    def __init__(self, first, *, color="red", part=None, **options: Unpack[Options]):
        hide_typed_dicts(type(self))
        self.part = part and part()
        super().__init__([first], part=None, **options)


def test_classes_and_partials_become_class_paths():
    assert as_config("pooling", LastPool) == {"class_path": "seqkit.nn.LastPool"}
    assert as_config("encoder", partial(LSTM, hidden_size=3)) == {
        "class_path": "seqkit.nn.LSTM",
        "init_args": {"hidden_size": 3},
    }


def test_plain_values_are_kept_and_containers_are_searched():
    given = {"a": [1, 2.0, None], "b": {"c": (True, "x"), "d": LastPool}}
    expected = {"a": [1, 2.0, None], "b": {"c": [True, "x"], "d": {"class_path": "seqkit.nn.LastPool"}}}
    assert as_config("given", given) == expected


@pytest.mark.parametrize("value", [lambda size: size, partial(LSTM, 3), partial(print, sep=""), object()])
def test_values_that_cannot_be_rebuilt_are_named(value):
    with pytest.raises(TypeError, match=r"^encoder\['x'\]=.* cannot be kept in a checkpoint; give a class"):
        as_config("encoder", {"x": value})


def test_given_arguments_are_those_of_the_class_itself():
    assert Child(1, size=5).given == {"first": 1, "color": "red", "part": None, "size": 5}
    assert Base(1).given == {"first": 1, "size": 3}


def test_given_arguments_are_not_those_of_an_object_that_builds_this_one():
    part = partial(Base, 2)
    child = Child(1, part=part)
    assert child.given == {"first": 1, "color": "red", "part": part}
    assert child.part.given == {"first": 2, "size": 3}


def test_arguments_without_a_name_are_refused():
    class Unnamed(Base):
        def __init__(self, *parts):
            super().__init__(*parts)

    with pytest.raises(TypeError, match=r"Unnamed takes \*parts, which a checkpoint cannot keep by name"):
        Unnamed(1)


def test_hidden_typed_dicts_leave_other_annotations():
    class Annotated:
        def __init__(self, size: int, **options: Unpack[Options]) -> None: ...

    hide_typed_dicts(Annotated)
    assert Annotated.__init__.__annotations__ == {"size": int, "return": None}
    hide_typed_dicts(Child)
    assert "options" not in Child.__init__.__annotations__
