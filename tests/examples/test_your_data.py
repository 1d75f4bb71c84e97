import re


def test_predictions_are_a_column_of_the_table(load, capsys):
    load("your_data").main([])
    output = capsys.readouterr().out
    found = re.search(r"root mean square error ([\d.]+); of the mean wear ([\d.]+)", output)
    assert found, output
    error, spread = map(float, found.groups())
    assert error < spread / 3
    lines = output[: found.start()].splitlines()[-13:]
    assert lines[0].split() == ["machine", "hour", "load", "temperature", "wear", "predicted"]
    assert [line.split()[:2] for line in lines[1:]] == [["M000", str(hour)] for hour in range(12)]


def test_rows_are_in_no_order(load):
    table = load("your_data").readings(5)
    assert not table["hour"].is_monotonic_increasing
    assert table["machine"].nunique() == 5
    again = load("your_data").readings(5)
    assert table.equals(again)
