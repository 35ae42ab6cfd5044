"""What a cache entry is called and says of itself: nothing else passes for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.cache.record import (
    MOST_RECORD_BYTES,
    Record,
    Standing,
    name_of,
    read_record,
    recorded,
    standing_of,
)
from lighterman.stores.contract import Attributes

NAME = name_of("https://s3/b", "k", "e", 5)
sums = st.one_of(st.none(), st.text("0123456789abcdef", max_size=64).map("md5:{}".format))
attributes = st.builds(
    Attributes,
    mode=st.one_of(st.none(), st.integers(0, 0o7777)),
    mtime_ns=st.one_of(st.none(), st.integers(-(1 << 63) + 1, (1 << 63) - 1)),
)
places = st.tuples(st.text(), st.text(), st.text(), st.integers(0, 1 << 60))


@given(st.integers(0, 1 << 60), sums, attributes)
def test_a_record_says_what_was_recorded(size_bytes, checksum, attributes):
    """Size, checksums, mode and mtime come back, and no record is too long to be read."""
    end = recorded(NAME, size_bytes, "0123abcd", checksum, attributes)
    assert len(end) <= MOST_RECORD_BYTES
    record = read_record(b"content" + end, size_bytes + len(end), NAME)
    assert (record.size_bytes, record.crc32c, record.checksum) == (size_bytes, "0123abcd", checksum)
    assert record.attributes == attributes


@given(st.data())
def test_a_record_that_was_touched_is_none(data):
    """Any byte of it changed, any number of bytes cut off or added: it isn't a record."""
    end = recorded(NAME, 5, "0123abcd", None, Attributes(mode=0o644))
    place = data.draw(st.integers(0, len(end) - 1))
    changed = bytearray(end)
    changed[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(1, len(end)))
    more = data.draw(st.binary(min_size=1, max_size=20))
    assert read_record(bytes(changed), 5 + len(end), NAME) is None
    assert read_record(end[:-cut], 5 + len(end) - cut, NAME) is None
    assert read_record(end + more, 5 + len(end) + len(more), NAME) is None


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_no_bytes_raise(data, size_bytes):
    """Whatever lies under an entry's name: it is read as none."""
    assert read_record(data, size_bytes, NAME) is None


def test_a_record_of_another_entry_or_size_is_none():
    """An entry that was renamed, or whose content was cut or grew, isn't used."""
    end = recorded(NAME, 5, "0123abcd", None, Attributes())
    assert read_record(end, 5 + len(end), NAME) is not None
    assert read_record(end, 5 + len(end), name_of("https://s3/b", "k", "e", 6)) is None
    for size_bytes in (0, 4, 6):
        assert read_record(end, size_bytes + len(end), NAME) is None


def test_a_time_that_no_file_can_have_is_not_kept():
    """A stored mtime beyond 64 bits is none, as when it is fetched."""
    end = recorded(NAME, 5, "0123abcd", None, Attributes(mtime_ns=1 << 70))
    assert read_record(end, 5 + len(end), NAME).mtime_ns is None


@given(places, places)
def test_two_versions_have_two_names(one, other):
    """Place, key, ETag and size each make another entry, however they are divided."""
    assert (name_of(*one) == name_of(*other)) == (one == other)


def test_keys_that_are_no_text_have_names():
    """A key with surrogates, as some listings have them."""
    assert len(name_of("s", "\udcff", "e", 1)) == 64


@pytest.mark.parametrize(
    ("checksum", "expected", "standing"),
    [
        (None, None, Standing.UNVERIFIED),
        ("md5:a", None, Standing.UNVERIFIED),
        ("md5:a", "md5:a", Standing.VERIFIED),
        ("md5:a", "md5:b", Standing.WRONG),
        (None, "md5:a", Standing.UNVERIFIED),
        ("crc32c:0123abcd", "md5:a", Standing.UNVERIFIED),
        (None, "crc32c:0123abcd", Standing.VERIFIED),
        ("md5:a", "crc32c:0123abcd", Standing.VERIFIED),
        ("md5:a", "crc32c:0123abce", Standing.WRONG),
    ],
)
def test_an_entry_is_worth_what_the_store_tells(checksum, expected, standing):
    """Verified by the checksum it was compared with, or by its CRC32C; what contradicts isn't used."""
    assert standing_of(Record(NAME, 5, "0123abcd", checksum, None, None), expected) is standing
