import pytest


@pytest.fixture(scope="module")
def markdown(load):
    return load("benchmarks/sections/markdown")


def test_table(markdown):
    assert markdown.table(["", "n"], [["a", "1"]]) == "|  | n |\n| --- | ---: |\n| a | 1 |"
    assert markdown.table(["a", "b", "n"], [], texts=2) == "| a | b | n |\n| --- | --- | ---: |"


def test_paragraph_wraps_between_words(markdown):
    lines = markdown.paragraph("one " * 50, "bits-and-pieces " * 20).splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert not any(line.endswith("-") for line in lines)


def test_numbers(markdown):
    assert markdown.spread([0.9, 0.92, 0.94], 1, 100) == "92.0 ± 2.0"
    assert markdown.spread([1234.5], 0) == "1,234"
    assert markdown.median_and_range([3.0, 1000.0, 2.0]) == "3 (2 to 1,000)"
    assert markdown.median_and_range([0.25], ".1f") == "0.2"
    assert [markdown.minutes(seconds) for seconds in (59.6, 218, 3725)] == ["1:00", "3:38", "62:05"]
