import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console


@pytest.fixture(scope="module")
def example(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("packing_explained")


@pytest.fixture(scope="module")
def printed(example: ModuleType) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        console = Console(file=io.StringIO(), width=120)
        example.main(arguments, console)
        return console.file.getvalue()

    return run


def test_steps(example: ModuleType) -> None:
    assert example.count_steps([4, 6, 8, 5, 4, 3, 7, 8]) == (64, 45)


def test_multiplications(example: ModuleType) -> None:
    assert example.count_multiplications([9, 8, 6, 4, 3, 2], columns=1) == (54, 32)
    assert example.count_multiplications([9, 8, 6, 4, 3, 2], columns=3) == (3 * 54, 3 * 32)


def test_order(example: ModuleType) -> None:
    pack = example.pack_words(["abc", "x"])
    assert "".join(map(chr, pack.data.tolist())) == "axbc"
    assert pack.batch_sizes.tolist() == [2, 1, 1]


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_packed_lstm_is_right_and_padded_is_not(example: ModuleType, lengths: list[int]) -> None:
    runs = example.run_lstm(lengths)
    torch.testing.assert_close(runs["packed"], runs["alone"])
    torch.testing.assert_close(runs["padded"].outputs[:, 0], runs["alone"].outputs[:, 0])
    short = torch.tensor(lengths) < max(lengths)
    for field in ("h", "c"):
        wrong = getattr(runs["padded"], field) - getattr(runs["alone"], field)  # (B, 2, H)
        assert wrong.flatten(2).abs().amax(-1).gt(1e-6).equal(short[:, None].expand(-1, 2))
    first_wrong = (runs["padded"].outputs - runs["alone"].outputs)[:, 1].abs().amax() > 1e-6
    assert bool(first_wrong) == bool(short.any())


def test_prints_the_worked_numbers(printed: Callable[..., str]) -> None:
    text = " ".join(printed().split())
    for piece in (
        "8 sequences of 4 6 8 5 4 3 7 8 tokens take 64 steps padded and 45 packed: 30% of the padded",
        "54 multiplications of two numbers, 32 if the padding is left out",
        "all 3 columns take 162 and 96",
        "54 such products padded, 32 packed",
        "│ [1, 2, 3] [3, 4] │ [1, 3, 2, 4, 3] │ [2, 2, 1] │",
        "│ abc x │ axbc │ [2, 1, 1] │",
        "a: a a a a · · · ·",
        "8 8 8 7 5 4 3 2",
    ):
        assert piece in text
    assert "Your lengths" not in text


def test_explains_given_lengths(printed: Callable[..., str]) -> None:
    text = printed("5", "1", "2")
    assert "3 sequences of 5 1 2 tokens take 15 steps padded and 8 packed: 47% of the padded" in text
    assert "Lengths 5 1 2, padded to a (3, 5) matrix, times a (5, 3) matrix" in text
    assert "final h, length 1" in text


def test_lengths_without_padding_and_without_a_drawing(printed: Callable[..., str]) -> None:
    text = printed("30", "30")
    assert "All sequences have one length" in text
    assert "60 steps padded and 60 packed: 0% of" in text


def test_refuses_what_is_no_length(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("0", "2.5", "many"):
        with pytest.raises(SystemExit):
            example.main([wrong])
        assert f"a length is a whole number from 1 on, not '{wrong}'" in capsys.readouterr().err


@pytest.mark.parametrize("lengths", [[], ["1"], ["3", "1", "2"], ["24"] * 26])
def test_draws_a_small_picture(printed: Callable[..., str], lengths: list[str], tmp_path: Path) -> None:
    path = tmp_path / "packing.png"
    printed(*lengths, "--picture", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < (300_000 if lengths else 100_000)


def test_refuses_to_draw_too_much(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        example.main(["25", "1", "--picture", str(tmp_path / "packing.png")])
    message = "2 sequences of up to 25 tokens are too many to draw; give at most 26 of at most 24"
    assert message in capsys.readouterr().err
