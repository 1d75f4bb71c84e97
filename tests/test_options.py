import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from seqkit.options import MAX_SEED, choice, flag, integer, names, near, number, optional_integer

COLOURS = ("red", "green")


@pytest.mark.parametrize("value", [1, 7, np.int64(1), np.uint8(7)])
def test_integers_of_python_and_numpy(value):
    found = integer("size", value, 1, 7)
    assert found == value
    assert type(found) is int


def test_none_where_it_is_allowed():
    assert optional_integer("size", None, 1) is None
    assert optional_integer("size", 3, 1) == 3


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.25), np.int64(1), Fraction(1, 2)])
def test_numbers_of_python_and_numpy(value):
    found = number("share", value, 0, most=1)
    assert found == value
    assert type(found) is float


def test_names():
    assert names("inputs", "form") == ["form"]
    assert names("inputs", ("form", "lemma")) == ["form", "lemma"]
    assert names("inputs", {"form": None}.keys()) == ["form"]
    assert names("inputs", []) == []


def test_near_names():
    assert near("fomr", ["lemma", "form"]) == "; did you mean 'form'?"
    assert near("lem", ["form", "lemma"]) == "; did you mean 'lemma'?"  # an abbreviation
    assert near("", ["form"]) == ""
    assert near("xyz", ["lemma", "form"]) == near(3, ["form"]) == ""


@pytest.mark.parametrize(
    ("check", "error", "message"),
    [
        (lambda: integer("size", 2.5, 1), TypeError, "size=2.5: must be an integer of at least 1, not a float"),
        (lambda: integer("size", 2.0, 1), TypeError, "size=2.0: must be an integer of at least 1, not a float"),
        (lambda: integer("size", True, 1), TypeError, "size=True: must be an integer of at least 1, not a bool"),
        (lambda: integer("size", np.True_, 1), TypeError, "must be an integer of at least 1, not a bool"),
        (lambda: integer("size", "3", 1), TypeError, "size='3': must be an integer of at least 1, not a str"),
        (
            lambda: integer("size", None, 1),
            TypeError,
            "size=None: must be an integer of at least 1, not a None",
        ),
        (lambda: integer("size", torch.tensor(3), 1), TypeError, "must be an integer of at least 1, not a Tensor"),
        (lambda: integer("size", 0, 1), ValueError, "size=0: must be an integer of at least 1"),
        (lambda: integer("size", np.int32(8), 1, 7), ValueError, "size=8: must be an integer from 1 to 7"),
        (
            lambda: integer("seed", 2**63, 0, MAX_SEED),
            ValueError,
            "must be an integer from 0 to 92233720368547758",
        ),
        (lambda: optional_integer("size", False, 1), TypeError, "size=False: must be an integer of at least 1"),
        (lambda: number("share", float("nan"), 0, 1), ValueError, "share=nan: must be a number of at least 0 and"),
        (lambda: number("share", 1.0, 0, 1), ValueError, "share=1.0: must be a number of at least 0 and below"),
        (lambda: number("share", -0.1, 0, 1), ValueError, "share=-0.1: must be a number of at least 0 and below"),
        (lambda: number("share", 1.5, 0, most=1), ValueError, "share=1.5: must be a number from 0 to 1"),
        (lambda: number("cost", float("inf"), 0), ValueError, "cost=inf: must be a number of at least 0"),
        (lambda: number("cost", float("inf"), 0, most=1), ValueError, "cost=inf: must be a number from 0 to 1"),
        (
            lambda: number("share", "0.1", 0, 1),
            TypeError,
            "share='0.1': must be a number of at least 0 and below",
        ),
        (lambda: number("share", True, 0, 1), TypeError, "share=True: must be a number of at least 0 and below"),
        (
            lambda: number("share", 0.5j, 0, 1),
            TypeError,
            "at least 0 and below 1, not a complex",
        ),
        (
            lambda: choice("colour", "gren", COLOURS),
            ValueError,
            "'red', 'green'; did you mean 'green'?",
        ),
        (lambda: choice("colour", "x", COLOURS), ValueError, "colour='x': must be one of 'red', 'green'"),
        (lambda: choice("colour", None, COLOURS), TypeError, "colour=None: must be one of 'red', 'green'"),
        (lambda: choice("colour", True, COLOURS), TypeError, "colour=True: must be one of 'red', 'green'"),
        (lambda: choice("colour", ["red"], COLOURS), TypeError, "colour=['red']: must be one of 'red', 'green'"),
        (lambda: flag("shuffle", 1), TypeError, "shuffle=1: must be True or False, not a int"),
        (lambda: flag("shuffle", "no"), TypeError, "shuffle='no': must be True or False, not a str"),
        (lambda: names("inputs", [], least=1), ValueError, "inputs=[]: names no column; it needs at least 1"),
        (lambda: names("inputs", ""), ValueError, "inputs='': contains ''; name a column once"),
        (lambda: names("inputs", ["a", "b", "a"]), ValueError, "inputs=['a', 'b', 'a']: contains 'a' twice"),
        (lambda: names("inputs", ["a", 3]), TypeError, "inputs=['a', 3]: must be a name or a list of names"),
        (lambda: names("inputs", 3), TypeError, "inputs=3: must be a name or a list of names"),
        (lambda: names("inputs", None), TypeError, "inputs=None: must be a name or a list of names"),
        (lambda: names("inputs", b"form"), TypeError, "inputs=b'form': must be a name or a list of names"),
    ],
)
def test_errors_name_the_option_the_value_and_what_is_allowed(check, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check()
