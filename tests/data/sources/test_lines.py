import gzip

import pytest

from seqkit.data.sources.lines import numbered_lines


def test_numbers_lines_and_removes_their_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\ntwo\u2028half \xa0\nlast".encode())
    assert list(numbered_lines(path)) == [(1, "one"), (2, ""), (3, "two\u2028half \xa0"), (4, "last")]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt"])
def test_decompresses_gzip_by_name_or_content(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress("é\nb\n".encode()))
    assert list(numbered_lines(str(path))) == [(1, "é"), (2, "b")]


def test_names_the_line_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\ncaf\xe9 noir\n")
    with pytest.raises(
        ValueError, match=r"a\.txt:2: not UTF-8: byte 0xe9 at column 4 .*; convert the file to UTF-8"
    ):
        list(numbered_lines(path))


def test_names_the_line_where_a_gzip_file_breaks(tmp_path):
    path = tmp_path / "a.gz"
    whole = gzip.compress(b"".join(b"%d\n" % n for n in range(100_000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=r"a\.gz:\d+: the gzip file is broken after \d+ complete lines .*; download it again"
    ):
        list(numbered_lines(path))
    path.write_bytes(b"plain text")
    with pytest.raises(
        ValueError, match=r"a\.gz:1: the gzip file is broken after 0 complete lines \(Not a gzipped file"
    ):
        list(numbered_lines(path))
