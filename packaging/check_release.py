"""Check that the version and the changelog fit a tag, before a release is published.

    python packaging/check_release.py v0.2.0

The version is written in ``seqkit/__init__.py`` only. The changelog needs a section of this version with its date,
and nothing under "Unreleased".
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(tag: str, package: str, changelog: str) -> list[str]:
    """List what does not fit.

    Args:
        tag: Such as ``v0.2.0``.
        package: The text of ``seqkit/__init__.py``.
        changelog: The text of ``CHANGELOG.md``.
    """
    written = re.search(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    if written is None:
        return ['seqkit/__init__.py has no line __version__ = "..."']
    version, found = written[1], []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but seqkit/__init__.py has version {version}; the tag must be v{version}")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    contents = {title.strip(): text.strip() for title, _, text in (section.partition("\n") for section in sections)}
    if contents.get("[Unreleased]"):
        found.append(f'CHANGELOG.md has entries under "Unreleased"; move them to a section "[{version}] - DATE"')
    dated = re.compile(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d")
    titles = [title for title in contents if dated.fullmatch(title)]
    if not titles:
        found.append(f'CHANGELOG.md has no section "## [{version}] - YYYY-MM-DD"')
    elif not contents[titles[0]]:
        found.append(f"the section of version {version} in CHANGELOG.md is empty")
    return found


def main() -> None:
    """Check the tag of the command line; print what does not fit and exit with status 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag", help="the tag of the release, such as v0.2.0")
    tag = parser.parse_args().tag
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("seqkit/__init__.py", "CHANGELOG.md")]
    found = problems(tag, *texts)
    for problem in found:
        print(f"error: {problem}", file=sys.stderr)
    if found:
        raise SystemExit(1)
    print(f"{tag}: version and changelog fit")


if __name__ == "__main__":
    main()
