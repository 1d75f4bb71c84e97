import json

import pytest


@pytest.fixture
def tutorials(load):
    load("benchmarks/report")  # finds the folder of the sections
    from sections import tutorials

    return tutorials


def test_recorded(tutorials, tmp_path):
    run = {
        "command": "python examples/tutorials/tag.py a.txt",
        "seconds": 92.4,
        "machine": "Some CPU",
        "instruction set": "AVX2",
        "threads": 2,
        "cores": 2,
        "versions": {"torch": "2.13.0"},
        "commit": "0123456789",
    }
    (tmp_path / "tag.json").write_text(json.dumps(run))
    assert " ".join(tutorials.recorded(tmp_path / "tag.json").split()) == (
        "`python examples/tutorials/tag.py a.txt` printed this page's output in 92 seconds. "
        "Run on: Some CPU, AVX2, 2 threads on 2 cores; torch 2.13.0; commit 0123456789."
    )


def test_every_recorded_run_has_a_section(tutorials):
    files = sorted(tutorials.RECORDED.glob("*.json"))
    assert list(tutorials.TUTORIALS) == [f"tutorial-{file.stem}" for file in files]
