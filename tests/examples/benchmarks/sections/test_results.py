import pytest

FOUND = {
    "machine": "a CPU",
    "instruction set": "AVX512",
    "kernels": "native",
    "cores": 4,
    "CPUs": 8,
    "threads": 2,
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "commit": "0123456789",
}
SETTING = "a CPU, AVX512, 2 threads on 4 cores; python 3.11.7, torch 2.13.0; commit 0123456789"


@pytest.fixture(scope="module")
def results(load):
    return load("benchmarks/sections/results")


def test_a_section_says_how_it_was_measured(results):
    assert results.measured_on(FOUND) == f"Measured on: {SETTING}."
    one = results.measured_on(FOUND | {"threads": 1, "cores": None, "commit": "0123456789 + changes"})
    assert one == "Measured on: a CPU, AVX512, 1 thread; python 3.11.7, torch 2.13.0; commit 0123456789 + changes."


@pytest.mark.parametrize("key", ["machine", "instruction set", "threads", "versions", "commit"])
def test_what_was_not_recorded_is_said(results, key):
    found = {name: value for name, value in FOUND.items() if name != key}
    assert f"{key} not recorded" in results.measured_on(found)


def test_results_of_one_setting_share_a_sentence(results):
    other = FOUND | {"threads": 1}
    assert results.measured_alike([("a", FOUND), ("b", dict(FOUND))]) == f"Measured on: {SETTING}."
    every = results.measured_alike([("a", FOUND), ("b", other), ("c", FOUND)])
    assert every.startswith(f"Measured on (a, c): {SETTING}. Measured on (b): a CPU, AVX512, 1 thread on 4 cores;")
