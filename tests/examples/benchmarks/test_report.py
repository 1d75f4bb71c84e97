from pathlib import Path


def test_results_are_those_of_the_json_files(load):
    report = load("benchmarks/report")
    assert report.page() == (Path(report.__file__).parent / "RESULTS.md").read_text()
