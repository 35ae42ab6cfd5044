"""Bytes on their way are progress, and nothing else."""

import hashlib

import pytest

from lighterman.transfer.arrival import Arrival
from lighterman.transfer.progress import described
from lighterman.transfer.tally import Tally


def test_what_is_on_its_way_is_seen():
    """Done bytes, rate and ETA count it; the report's bytes don't."""
    tally = Tally()
    tally.planned(1, 100)
    before = tally.totals()
    digest = hashlib.md5(usedforsecurity=False)
    with Arrival(tally, digest) as arrival:
        arrival.update(b"12345")
        arrival.update(memoryview(b"67890"))
        line = described(before, tally.totals(), 2.0)
    assert (line["done_bytes"], line["rate_bytes_per_second"], line["eta_seconds"]) == (10, 5, 18)
    assert digest.digest() == hashlib.md5(b"1234567890", usedforsecurity=False).digest()
    assert (tally.totals().bytes, tally.totals().arriving) == (0, 0)


def test_what_was_lost_is_no_progress():
    """An attempt that failed takes its bytes back."""
    tally = Tally()

    def attempt():
        with Arrival(tally, None) as arrival:
            arrival.update(b"12345")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        attempt()
    assert tally.totals().arriving == 0
