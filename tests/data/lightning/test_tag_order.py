import pickle
from types import SimpleNamespace

import pyarrow as pa
import pytest

from seqkit.data import Labels
from seqkit.data.lightning.tag_order import BrokenRow, TagOrder, find_broken_rows, tag_orders
from seqkit.labels import allowed_transitions

NAMES = ["O", "B-x", "I-x"]
ORDER = TagOrder("BIO", allowed_transitions(NAMES, "BIO"), -100)


def test_the_first_wrong_tag_of_each_row():
    tags = pa.array([[0, 1, 2], [], [0, 0, 0, 2, 0, 2], [2], [1, -100, 2]])
    assert find_broken_rows(tags, Labels(NAMES), ORDER) == [
        BrokenRow(2, 3, ["O", "O", "I-x", "O", "I-x"]),
        BrokenRow(3, 0, ["I-x"]),
    ]
    assert find_broken_rows(tags.slice(0, 2), Labels(NAMES), ORDER) == []
    assert find_broken_rows(tags.slice(3, 1), Labels(NAMES), ORDER) == [BrokenRow(0, 0, ["I-x"])]


@pytest.mark.parametrize("model", [None, SimpleNamespace(), SimpleNamespace(heads=["a list"])])
def test_models_without_constrained_decoders(model):
    assert tag_orders(None) == {}
    assert tag_orders(SimpleNamespace(lightning_module=model)) == {}


def test_workers_get_it_without_the_model():
    head = SimpleNamespace(is_constrained=True, scheme="BIO", allowed_tags=ORDER.allowed, ignore_index=-100)
    other = SimpleNamespace(is_constrained=False)
    (name, found), *others = tag_orders(
        SimpleNamespace(lightning_module=SimpleNamespace(heads={"tags": head, "label": other}))
    ).items()
    assert (name, others) == ("tags", [])
    assert len(pickle.dumps(found)) < 5000
