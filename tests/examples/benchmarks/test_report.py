import json

import pytest

SETTING = {"machine", "instruction set", "kernels", "cores", "CPUs", "threads", "versions", "commit"}
SECTIONS = {"speed": lambda: "3 times as fast", "table": lambda: "| a | 1.5 |"}
PAGE = "text\n\n<!-- figures: speed -->\n\n3 times as fast\n\n<!-- end -->\n\nmore text\n"


@pytest.fixture(scope="module")
def report(load):
    return load("benchmarks/report")


def test_the_pages_agree_with_the_results(report):
    assert not list(report.problems())
    assert report.main(["--check"]) == 0


def test_every_result_holds_its_setting(report):
    files = sorted(report.HERE.glob("results/*.json"))
    assert not [file.name for file in files if str(json.loads(file.read_text()).get("commit")).endswith("changes")]
    assert not [file.name for file in files if not json.loads(file.read_text()).keys() >= SETTING]


def test_what_is_between_the_markers_is_replaced(report):
    stale = PAGE.replace("3 times", "9 times")
    assert report.fill(stale, SECTIONS) == PAGE
    assert report.fill(PAGE, SECTIONS) == PAGE
    empty = "<!-- figures: table -->\n<!-- end -->\n" * 2
    assert report.fill(empty, SECTIONS) == "<!-- figures: table -->\n\n| a | 1.5 |\n\n<!-- end -->\n" * 2


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (PAGE.replace("speed", "sped"), "no section 'sped'; there are speed, table"),
        (PAGE.replace("<!-- end -->", ""), "no <!-- end --> after <!-- figures: speed -->"),
        (PAGE.replace("<!-- end -->", "<!-- figures: table -->"), "no <!-- end --> after <!-- figures: speed -->"),
    ],
)
def test_wrong_markers_are_refused(report, page, message):
    with pytest.raises(ValueError, match=message):
        report.fill(page, SECTIONS)


@pytest.mark.parametrize(
    "line",
    [
        "| seqkit | **32,909** |",
        "| ewt | 95.46 ± 0.08 % |",
        "| waste | 8.3% |",
        "| one fit | 3:38 |",
        "It runs at 32,909 tokens/s.",
        "Training is 3.0 times as fast.",
        "That is 40 % faster.",
        "Four million tokens took 1.4 s.",
        "The stream has 4.3 % waste.",
    ],
)
def test_measurements_outside_markers_are_found(report, line):
    assert report.unbacked(f"{PAGE}{line}\n") == [line]
    assert not report.unbacked(f"```\n{line}\n```\n")
    assert not report.unbacked(f"<!-- figures: speed -->\n{line}\n<!-- end -->\n")


def test_options_and_counts_are_no_measurements(report):
    assert not report.unbacked(
        "| batch | 64 |\n\nAt most 350 lines; the last 10 % of the text; lr 2e-3; 3 seeds.\n"
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("tokens/s | speed", "tokens/s | rate"), "README.md differs from results/"),
        (lambda text: text.replace("figures: fits", "figures: fit"), "README.md: no section 'fit'"),
        (
            lambda text: text + "\nIt is 7 times faster.\n",
            "no marker around the measurements in 'It is 7 times faster.'",
        ),
    ],
)
def test_problems_name_the_page(report, monkeypatch, tmp_path, change, problem):
    page = tmp_path / "README.md"
    page.write_text(change((report.ROOT / "README.md").read_text()))
    pages = [page, *report.PAGES[1:]]
    monkeypatch.setattr(report, "PAGES", pages)
    monkeypatch.setattr(report, "title", lambda file: file.name)
    assert any(problem in found for found in report.problems())


def test_pictures_of_other_results_are_found(report, monkeypatch):
    monkeypatch.setattr("sections.pictures.load", lambda name: {"other": name})
    assert sum("png differs from results" in found for found in report.problems()) == len(report.PICTURES)


def test_pictures_carry_the_fingerprint_of_their_results(load, tmp_path):
    pictures = load("benchmarks/sections/pictures")
    for name in pictures.PICTURES:
        pictures.draw(name, tmp_path / "picture.png")
        assert pictures.is_current(name, tmp_path / "picture.png")


def test_every_config_of_the_table_is_measured(load):
    quality = load("benchmarks/sections/quality")
    assert quality.measured().keys() >= quality.SCORES.keys()


def test_sections_without_a_page_are_found(report, monkeypatch):
    monkeypatch.setitem(report.SECTIONS, "unused", lambda: "")
    assert "no page uses the section 'unused'" in list(report.problems())
