import functools
import io
import re
from contextlib import suppress

import pytest
import rich.console

from seqkit.tasks.prediction import progress
from seqkit.tasks.prediction.progress import PredictionBar


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def screen(monkeypatch):
    """A terminal, which the consoles of the test write to."""
    file = io.StringIO()
    terminal = functools.partial(rich.console.Console, file=file, force_terminal=True, width=80)
    monkeypatch.setattr(rich.console, "Console", lambda stderr: terminal())
    return file


def shown(screen):
    """Return what was printed without colours."""
    return re.sub(r"\x1b\[[\d;?]*\w", "", screen.getvalue())


def test_the_bar_appears_after_a_second(clock, screen):
    with PredictionBar(None, 40) as bar:
        bar.advance(10)
        clock[0] += 0.9
        bar.advance(10)
        assert screen.getvalue() == ""
        clock[0] += 0.2
        bar.advance(10)
        assert "30/40 rows" in shown(screen)
        clock[0] += 0.1
        bar.advance(5)
        assert "35/40" not in screen.getvalue()
        clock[0] += 0.3
        bar.advance(5)
        assert "40/40" in screen.getvalue()


def test_a_bar_at_once_and_none(clock, screen):
    with PredictionBar(False, 40) as bar:
        clock[0] += 9
        bar.advance(10)
    assert screen.getvalue() == ""
    with PredictionBar(True, None) as bar:
        bar.advance(10)
        assert "10/? rows" in shown(screen)


def test_nothing_in_a_pipe(clock, capsys):
    with PredictionBar(True, 40) as bar:
        clock[0] += 9
        bar.advance(40)
    assert capsys.readouterr() == ("", "")


def test_the_bar_is_removed_after_an_error(clock, screen):
    bar = PredictionBar(True, 40)
    with suppress(KeyError), bar:
        bar.advance(10)
        raise KeyError
    assert screen.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))
