import gzip

import pytest

from seqkit.data import CMUdict

LINES = """\
;;; a comment
a AH0
a(2) EY1
abbreviate AH0 B R IY1 V IY0 EY2 T
aalborg AO1 L B AO0 R G # place, danish
abuse AH0 B Y UW1 S
abuse(2) AH0 B Y UW1 Z
record R AH0 K AO1 R D
record R EH1 K ER0 D
record(3) R AH1 K AO0 R D
:-)(2) S M AY1 L

"""


def load(tmp_path, lines=LINES, **options):
    path = tmp_path / "cmudict.dict"
    path.write_text(lines)
    return CMUdict(str(path), **options).load()


def test_a_word_is_one_row_with_all_its_pronunciations(tmp_path):
    train = load(tmp_path, validation_fraction=0, test_fraction=0)["train"]
    assert dict(zip(train["word"], train["phones"], strict=True)) == {
        "a": [["AH"], ["EY"]],
        "abbreviate": [["AH", "B", "R", "IY", "V", "IY", "EY", "T"]],
        "aalborg": [["AO", "L", "B", "AO", "R", "G"]],
        "abuse": [["AH", "B", "Y", "UW", "S"], ["AH", "B", "Y", "UW", "Z"]],
        "record": [["R", "AH", "K", "AO", "R", "D"], ["R", "EH", "K", "ER", "D"]],
        ":-)": [["S", "M", "AY", "L"]],
    }


def test_stress_is_kept_on_request(tmp_path):
    train = load(tmp_path, validation_fraction=0, test_fraction=0, stress=True)["train"]
    assert train["phones"][4] == [
        ["R", "AH0", "K", "AO1", "R", "D"],
        ["R", "EH1", "K", "ER0", "D"],
        ["R", "AH1", "K", "AO0", "R", "D"],
    ]


def test_splits_are_disjoint_and_do_not_depend_on_the_order_of_lines(tmp_path):
    words = [f"w{i}" for i in range(200)]
    lines = [f"{word} P{i % 7}" for i, word in enumerate(words)]
    splits = load(tmp_path, "\n".join(lines))
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 180, "validation": 10, "test": 10}
    parts = [rows["word"][:] for rows in splits.values()]
    assert sorted(sum(parts, [])) == sorted(words)  # noqa: RUF017
    again = load(tmp_path, "\n".join(reversed(lines)))
    assert [set(rows["word"]) for rows in again.values()] == [set(part) for part in parts]
    other = load(tmp_path, "\n".join(lines), seed=1)
    assert set(other["test"]["word"]) != set(splits["test"]["word"])


def test_gzip_and_errors(tmp_path):
    path = tmp_path / "dict.gz"
    with gzip.open(path, "wt") as file:
        file.write(LINES)
    assert sum(map(len, CMUdict(str(path)).load().values())) == 6
    with pytest.raises(ValueError, match=r"cmudict.dict:2: 'b' has no phones; is the line truncated\?"):
        load(tmp_path, "a AH0\nb\n")
    with pytest.raises(ValueError, match=r"cmudict.dict: no word in this file"):
        load(tmp_path, "\n;;; nothing\n")
    with pytest.raises(
        ValueError, match=r"validation_fraction=0.5 and test_fraction=0.5 leave no words to train on"
    ):
        CMUdict("x", validation_fraction=0.5, test_fraction=0.5)


@pytest.mark.data
def test_real_file(data_dir):
    splits = CMUdict(str(data_dir / "cmudict/cmudict.dict.gz")).load()
    sizes = {split: len(rows) for split, rows in splits.items()}
    assert sum(sizes.values()) == 126_052
    assert sizes["test"] == sizes["validation"] == 6303
    assert len({phone for row in splits["train"]["phones"] for phones in row for phone in phones}) == 39
    several = sum(len(row) > 1 for rows in splits.values() for row in rows["phones"])
    assert several / 126_052 == pytest.approx(0.065, abs=0.001)
