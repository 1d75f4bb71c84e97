import runpy
from pathlib import Path

import pytest

import seqkit

ROOT = Path(__file__).parents[2]
problems = runpy.run_path(str(ROOT / "packaging/check_release.py"))["problems"]

PACKAGE = '"""Docs."""\n\n__version__ = "1.2.0"\n'
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2030-01-31\n\n### Added\n\n- A.\n\n## [1.1.0]\n"


def test_a_release_that_fits():
    assert problems("v1.2.0", PACKAGE, CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "package", "changelog", "problem"),
    [
        ("v1.2.1", PACKAGE, CHANGELOG, "the tag is v1.2.1, but seqkit/__init__.py has version 1.2.0"),
        ("1.2.0", PACKAGE, CHANGELOG, "the tag must be v1.2.0"),
        ("v1.2.0", "", CHANGELOG, "has no line __version__"),
        ("v1.2.0", PACKAGE, CHANGELOG.replace("ed]\n", "ed]\n\n- New.\n"), 'entries under "Unreleased"'),
        ("v1.2.0", PACKAGE, CHANGELOG.replace("2030-01-31", "soon"), 'no section "## [1.2.0] - YYYY-MM-DD"'),
        ("v1.2.0", PACKAGE, CHANGELOG.replace("### Added\n\n- A.\n", ""), "is empty"),
    ],
)
def test_what_does_not_fit_is_said(tag, package, changelog, problem):
    (found,) = problems(tag, package, changelog)
    assert problem in found


def test_the_version_is_written_once():
    """Everything else reads `seqkit.__version__`."""
    version = seqkit.__version__
    assert f'__version__ = "{version}"' in (ROOT / "seqkit/__init__.py").read_text(encoding="utf-8")
    files = [*ROOT.glob("seqkit/**/*.py"), ROOT / "pyproject.toml", ROOT / "setup.py"]
    others = [file.name for file in files if f'"{version}"' in file.read_text(encoding="utf-8")]
    assert others == ["__init__.py"]
