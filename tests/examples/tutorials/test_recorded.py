"""The recorded output of each tutorial is that of its script, and its page shows it."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "tutorials"
NAMES = sorted(path.stem for path in (ROOT / "examples" / "tutorials").glob("*.py") if path.stem != "record")


@pytest.fixture(scope="module")
def record(load):
    return load("tutorials/record")


def test_every_tutorial_can_be_recorded(record):
    assert set(NAMES) <= record.FILES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_script_is_the_recorded_one(record, name):
    run = json.loads((record.RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    assert run["sha256"] == record.script_hash(name), f"record it again: examples/tutorials/record.py DIR {name}"
    assert run["command"].startswith(f"python examples/tutorials/{name}.py")
    assert (record.RECORDED / f"{name}.txt").stat().st_size
    assert {path.name for path in record.RECORDED.glob(f"{name}_*")} == set(run["pictures"])


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_script_the_output_and_the_pictures(record, name):
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    run = json.loads((record.RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    assert f"<!-- figures: tutorial-{name} -->" in page
    shown = re.findall(r"^!\[(.+)\]\(recorded/(.+)\)$", page, flags=re.MULTILINE)
    assert sorted(picture for _, picture in shown) == sorted(run["pictures"])
    included = re.findall(r"^```\{literalinclude\} (\S+)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    files = {(PAGES / file).resolve() for file, _ in included}
    assert files == {ROOT / "examples" / "tutorials" / f"{name}.py", record.RECORDED / f"{name}.txt"}
    for file, options in included:
        lines = (PAGES / file).read_text(encoding="utf-8").splitlines()
        for place in re.findall(r"^:(?:start|end)-\w+: (.+)$", options, flags=re.MULTILINE):
            assert any(place in line for line in lines), f"{place!r} is not in {file}"


def test_record(record, monkeypatch, tmp_path):
    """Run nothing: what the program prints and draws is given."""

    drawn = iter(["1.png", "2.png"])

    def printed(command, folder):
        *_, script, train, test, _, output = command
        assert Path(script).name == "classify_series.py"
        assert Path(test) == tmp_path / "data" / "JapaneseVowels_TEST.ts.gz"
        (folder / output).mkdir()
        (folder / output / next(drawn)).write_bytes(b"picture")
        (folder / output / "report.json").write_text("{}")
        return f"\nread {train}   \n1. The data\n\n"

    (tmp_path / "data").mkdir()
    for name in ("TRAIN.ts", "TEST.ts.gz"):
        (tmp_path / "data" / f"JapaneseVowels_{name}").touch()
    (tmp_path / "classify_series.py").write_text("print()\n")
    monkeypatch.setattr(record, "HERE", tmp_path)
    monkeypatch.setattr(record, "run", printed)
    for _ in range(2):  # the second run replaces the pictures of the first
        record.record("classify_series", tmp_path / "data", tmp_path / "recorded")
    run = json.loads((tmp_path / "recorded" / "classify_series.json").read_text())
    assert run["pictures"] == ["classify_series_2.png"]
    assert run["sha256"] == record.script_hash("classify_series")
    assert run["command"].endswith("classify_series.py JapaneseVowels_TRAIN.ts JapaneseVowels_TEST.ts.gz")
    assert {"seconds", "machine", "instruction set", "threads", "versions", "commit"} <= run.keys()
    text = (tmp_path / "recorded" / "classify_series.txt").read_text()
    assert text == "read JapaneseVowels_TRAIN.ts\n1. The data\n"
    assert sorted(path.name for path in (tmp_path / "recorded").iterdir()) == [
        "classify_series.json",
        "classify_series.txt",
        "classify_series_2.png",
    ]


def test_unknown_names_are_refused(record, tmp_path, capsys):
    with pytest.raises(SystemExit):
        record.main([str(tmp_path), "tag_word"])
    assert "no tutorial tag_word; there are classify_series, " in capsys.readouterr().err
