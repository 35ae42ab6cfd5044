"""What a file adds up to whose ranges come in any order."""

import hashlib
import os

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initializer.verify import Ranges, sums_of

RANGE_BYTES = 7


def expected(algorithm, content):
    if algorithm == "md5":
        return f"md5:{hashlib.md5(content).hexdigest()}"
    return f"crc32c:{google_crc32c.value(content):08x}"


@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
@given(content=st.binary(min_size=1, max_size=100), data=st.data())
def test_the_sum_is_that_of_the_whole(algorithm, content, data):
    """In any order, with some ranges that an earlier run brought."""
    starts = range(0, len(content), RANGE_BYTES)
    order = data.draw(st.permutations(range(len(starts))))
    earlier = set(order[: data.draw(st.integers(0, len(order)))])
    done = bytearray(len(starts))
    descriptor = os.memfd_create("file")
    try:
        os.ftruncate(descriptor, len(content))
        for index in earlier:
            at = starts[index]
            os.pwrite(descriptor, content[at : at + RANGE_BYTES], at)
            done[index] = 1
        sums = sums_of(algorithm, Ranges(descriptor, len(content), RANGE_BYTES, done))
        for index in order:
            if index in earlier:
                continue
            at = starts[index]
            piece = content[at : at + RANGE_BYTES]
            total = sums.of_range()
            if total is not None:
                total.update(piece)
            os.pwrite(descriptor, piece, at)
            done[index] = 1
            sums.keep(index, total)
        assert sums.checksum() == expected(algorithm, content)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("algorithm", ["md5", "crc32c"])
def test_a_file_that_was_cut_is_no_whole_one(algorithm):
    """Somebody else truncated it: an error of the disk, not a sum of less."""
    descriptor = os.memfd_create("file")
    try:
        os.ftruncate(descriptor, 3)
        sums = sums_of(algorithm, Ranges(descriptor, 10, RANGE_BYTES, bytearray(b"\1\1")))
        with pytest.raises(OSError, match="shorter"):
            sums.checksum()
    finally:
        os.close(descriptor)
