"""Checksums of content, against other implementations of the same rules."""

import hashlib
import os

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.checksums import algorithm_of, checksum, joined_crc32c, new_sum, of_window
from lighterman.errors import SourceChangedError
from lighterman.stores.contract import Window


@pytest.mark.parametrize(
    ("algorithm", "data", "expected"),
    [
        ("md5", b"", "d41d8cd98f00b204e9800998ecf8427e"),
        ("crc32c", b"", "00000000"),
        ("crc32c", b"123456789", "e3069283"),  # the check value of RFC 3720's CRC
        ("crc32c", b"\0" * 32, "8a9136aa"),  # RFC 3720, appendix B.4
    ],
)
def test_known_values(algorithm, data, expected):
    """What the content adds up to."""
    total = new_sum(algorithm)
    total.update(memoryview(data))
    assert expected == total.hexdigest()


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_sums_of_pieces_join_to_the_sum_of_the_whole(first, second):
    """The CRC32C of two pieces one after the other, from those of the pieces."""
    joined = joined_crc32c(google_crc32c.value(first), google_crc32c.value(second), len(second))
    assert google_crc32c.value(first + second) == joined


def test_a_window_is_summed_in_pieces(tmp_path):
    """The hexadecimal digits of a window's bytes, and of no others."""
    content = os.urandom(700_000)
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"before" + content + b"after")
        file.flush()
        window = Window(file.fileno(), 6, len(content))
        assert hashlib.md5(content).hexdigest() == of_window("md5", window)
        assert f"{google_crc32c.value(content):08x}" == of_window("crc32c", window)


def test_a_file_that_became_shorter_has_no_sum(tmp_path):
    """``SourceChangedError`` where the file ends before its window does."""
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"short")
        file.flush()
        with pytest.raises(SourceChangedError):
            of_window("md5", Window(file.fileno(), 0, 6))


def test_a_checksum_says_by_which_rule():
    """As ``md5:`` or ``crc32c:`` and digits."""
    assert "md5" == algorithm_of(checksum("md5", "0" * 32))
