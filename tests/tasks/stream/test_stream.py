"""The values that a push takes, and errors, which leave the stream as it was."""

import copy

import numpy as np
import pytest
import torch

from tests.tasks.stream.cases import assert_same, built, dataset

WORDS = dataset()["words"][:]
SERIES = dataset()["series"][:]


def tags(words):
    return built("tagger")[0].stream().push(words)["tags"]


def test_one_sequence_is_in_no_list():
    stream = built("tagger")[0].stream()
    assert stream.push([]) == {"tags": []}
    assert stream.push(WORDS[0][:2]) == {"tags": tags(WORDS[0])[:2]}
    assert stream.push(None) == {"tags": []}
    assert stream.push(WORDS[0][2:]) == {"tags": tags(WORDS[0])[2:]}
    assert stream.lengths == [len(WORDS[0])]


@pytest.mark.parametrize(
    "push",
    [
        [WORDS[0], None, WORDS[1]],
        (WORDS[0], [], tuple(WORDS[1])),
        {"words": [WORDS[0], None, WORDS[1]]},
        [{"words": WORDS[0], "other": 1}, {"words": []}, {"words": WORDS[1]}],
        [np.array(WORDS[0]), {}, {"words": np.array(WORDS[1], dtype=object)}],
    ],
)
def test_forms_of_values(push):
    found = built("tagger")[0].stream(batch_size=3).push(push)
    assert found == [{"tags": tags(WORDS[0])}, {"tags": []}, {"tags": tags(WORDS[1])}]


@pytest.mark.parametrize("form", [np.array, torch.tensor, lambda rows: [np.array(row) for row in rows], list])
def test_forms_of_series(form):
    model, _ = built("projected")
    wanted = model.stream(batch_size=2).push([SERIES[0], SERIES[0]])
    assert_same(model.stream(batch_size=2).push([form(SERIES[0]), SERIES[0]]), wanted)
    assert_same(model.stream(batch_size=2).push(np.array([SERIES[0], SERIES[0]])), wanted)


def test_what_was_returned_is_not_changed_later():
    stream = built("multitask")[0].stream(batch_size=1)
    row = {"words": WORDS[0], "series": SERIES[0]}
    first = stream.push([row])
    copy = {name: list(value) if isinstance(value, list) else value for name, value in first[0].items()}
    stream.push([row])
    stream.reset()
    assert first == [copy]


BAD = {
    "too few": ([WORDS[0]], "push got 1 values for 2 sequences; give one for each, None for a sequence without"),
    "a text": ("ab", "push got 'ab' for 2 sequences; give a list with the new tokens of each"),
    "a number": (3, "push got 3 for 2 sequences"),
    "nothing": (None, "push got None for 2 sequences"),
    "too few in a column": ({"words": [WORDS[0]]}, "push got 1 values in column 'words' for 2 sequences"),
    "another column": ({"word": [WORDS[0]] * 2}, "the push has no column 'word.*'words'|has no column 'words'"),
    "another column of a row": ([WORDS[0], {"word": WORDS[0]}], "row 1 of the push has no column 'words'; it has"),
    "no words": ([WORDS[0], [3, 4]], r"row \d of the push \(column 'words'\)"),
    "a word": ([WORDS[0], "new words"], r"row 1 of the push \(column 'words'\): 'new words' is a text, which may"),
    "one number": ([WORDS[0], 3], "row 1 of the push.*: 3 is no sequence of tokens; give a list, also of one"),
    "a null": ([None, ["w1", None]], r"row 1 of the push \(column 'words'\): there is no value \(null\) at"),
    "half a character": ([WORDS[0], ["\ud800"]], r"row 1 of the push \(column 'words'\): '\\ud800' at position 0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_values_leave_the_stream_as_it_was(kind):
    values, message = BAD[kind]
    stream = built("tagger")[0].stream(batch_size=2)
    stream.push([WORDS[0][:3], WORDS[2][:1]])
    with pytest.raises((ValueError, TypeError), match=message):
        stream.push(values)
    assert stream.lengths == [3, 1]
    found = stream.push([WORDS[0][3:], WORDS[2][1:]])
    assert found == [{"tags": tags(WORDS[0])[3:]}, {"tags": tags(WORDS[2])[1:]}]


BAD_STEPS = {
    "channels": ({"words": ["w1"], "series": [[1.0]]}, r"row 0 of the push \(column 'series'\): 1 channels at"),
    "lengths": ({"words": ["w1"], "series": [[1.0, 2.0]] * 2}, "row 0 of the push.*: 1 tokens in column 'words'"),
    "nan": ({"words": ["w1"], "series": [[1.0, float("nan")]]}, r"row 0 .* \(column 'series'\): channel 1"),
    "one column": (["w1"], r"row 0 of the push: \['w1'\] is no dict, but the model reads the columns"),
    "one empty": ({"words": ["w1"], "series": []}, r"row 0 .* \(column 'series'\): no new token, but another"),
    "one none": ({"words": None, "series": [[1.0, 1.0]]}, r"row 0 of the push \(column 'words'\): no new token"),
}


@pytest.mark.parametrize("kind", BAD_STEPS)
def test_bad_steps_of_several_columns(kind):
    values, message = BAD_STEPS[kind]
    model, _ = built("each step")
    row = {"words": WORDS[0], "series": SERIES[0]}
    stream = model.stream(batch_size=2)
    stream.push([{name: steps[:2] for name, steps in row.items()}, None])
    with pytest.raises(ValueError, match=message):
        stream.push([values, row])
    found = stream.push([{name: steps[2:] for name, steps in row.items()}, None])
    assert_same(found[0]["values"], model.stream().push(row)["values"][2:])
    assert stream.lengths == [len(WORDS[0]), 0]


@pytest.mark.parametrize("rows", [[2], [0, -1], ["0"], [True, 5], [1.0]])
def test_reset_of_rows_that_do_not_exist(rows):
    stream = built("tagger")[0].stream(batch_size=2)
    stream.push([WORDS[0], WORDS[2]])
    with pytest.raises((TypeError, ValueError), match=r"reset: row=.*: must be an integer from 0 to 1"):
        stream.reset(rows=rows)
    assert stream.lengths == [7, 3]


def test_reset_takes_a_list():
    with pytest.raises(TypeError, match=r"reset: rows=0: must be a list of sequences, such as \[0\]"):
        built("tagger")[0].stream().reset(rows=0)


def test_a_model_whose_training_diverged_is_refused():
    model = copy.deepcopy(built("tagger")[0])
    stream = model.stream()
    with torch.no_grad():
        model.head.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="is NaN, as after a training that diverged"):
        stream.push(WORDS[0])
    assert stream.lengths == [0]


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_stream_has_a_sequence(size):
    with pytest.raises((ValueError, TypeError), match="batch_size"):
        built("tagger")[0].stream(batch_size=size)


def test_an_error_of_the_model_leaves_the_stream_as_it_was(monkeypatch):
    model, _ = built("tagger")
    stream = model.stream(batch_size=2)
    stream.push([WORDS[0][:3], None])

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "predict_values", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            stream.push([WORDS[0][3:], WORDS[2]])
    assert model.training
    assert stream.push([WORDS[0][3:], WORDS[2]]) == [{"tags": tags(WORDS[0])[3:]}, {"tags": tags(WORDS[2])}]
