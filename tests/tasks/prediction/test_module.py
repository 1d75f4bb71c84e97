import copy
import pickle

from tests.tasks.prediction.cases import build, rows_of


def test_a_model_that_has_predicted_can_be_copied():
    model = build("tagger")
    expected = model.predict(rows_of([3]))
    assert copy.deepcopy(model).predict(rows_of([3])) == expected
    assert pickle.loads(pickle.dumps(model.row_reader)).columns == ["words"]


def test_the_encoders_are_built_once():
    model = build("tagger")
    assert model.row_reader is model.row_reader
