import pytest

from seqkit.callbacks.progress.line import Field, clock, join_fields, named_value, share, speed

MONITORS = [
    "val_accuracy",
    "val_span_f1",
    "val_micro_f1",
    "val_rmse",
    "val_label_error_rate",
    "val_upos_accuracy",
    "val_loss",
]


def test_fields_of_the_highest_rank_are_left_out_first():
    fields = [Field("first"), Field("second", rank=1), Field("third", rank=2), Field("a long fourth", "4th")]
    assert join_fields(fields) == "first  second  third  a long fourth"
    assert join_fields(fields, 34) == "first  second  a long fourth"
    assert join_fields(fields, 27) == "first  a long fourth"
    assert join_fields(fields, 19) == "first 4th"
    assert join_fields(fields, 6) == "first…"


@pytest.mark.parametrize("monitor", MONITORS)
def test_the_values_that_matter_fit_80_columns(monitor):
    scores = [named_value(name, 0.91234) for name in dict.fromkeys(["val_loss", monitor])]
    line = [Field("epoch 10/22"), Field("step 1,234,567", rank=2), named_value("loss", 12.3456), *scores]
    line += [*speed(123_456, 1.0), Field("1:02:03 spent", rank=3), Field("2:02:03 left", rank=1)]
    found = join_fields(line, 80)
    assert len(found) <= 80
    assert "…" not in found
    for name in ("epoch 10/22", "loss 12.", "val_loss 0.91", f"{monitor} 0.91", "tokens/s"):
        assert name in found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.91234, "0.9123"),
        (0.0, "0.0000"),
        (1.0, "1.000"),
        (12.3456, "12.35"),
        (-0.5, "-0.5000"),
        (1234.5678, "1,235"),
        (0.0001234567, "0.0001235"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_values_have_four_digits(value, text):
    assert named_value("x", value).text == f"x {text}"


def test_times_speeds_and_shares():
    assert [clock(seconds) for seconds in (0.4, 59.6, 252, 3852)] == ["0:00", "1:00", "4:12", "1:04:12"]
    assert speed(42_600, 2.0) == [Field("21,300 tokens/s", "21k tokens/s")]
    assert speed(0, 2.0) == speed(3, 0.0) == []
    assert [share(epochs) for epochs in (2.0, 2.5, 2.25, 10.0)] == ["2", "2.5", "2.25", "10"]
