"""How much waits, and how long that takes: arithmetic."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.stores.contract import ETag, Key, Part
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath
from sidecar.status.backlog import (
    FILE_COST_BYTES,
    Backlog,
    Rate,
    Survey,
    estimate,
    is_large,
    measure,
)

MIB = 1 << 20
rates = st.builds(Rate().after, st.floats(0.01, 1e4), st.integers(1, 10**6), st.integers(0, 10**12))
backlogs = st.builds(Backlog, st.integers(1, 10**6), st.integers(0, 10**12))


@pytest.mark.parametrize(
    ("backlog", "needed"),
    [
        (Backlog(1, 1000 * MIB), 10.0),
        (Backlog(10, 10_000 * MIB), 100.0),
        (Backlog(0, 0), 0.0),
    ],
)
def test_a_backlog_needs_its_size_over_the_rate(backlog, needed):
    """A rate of large files, measured over one, gives the time of others like it."""
    rate = Rate().after(5.0, 1, 1000 * MIB).after(5.0, 0, 0)
    assert rate.seconds_for(backlog) == pytest.approx(needed, rel=0.06)


def test_what_was_never_measured_is_not_known():
    """No number is better than a wrong one; an empty backlog needs nothing."""
    assert Rate().seconds_for(Backlog(1, 1)) is None
    assert Rate().seconds_for(Backlog()) == 0.0
    assert Rate().after(10.0, 0, 0).seconds_for(Backlog(1, 1)) is None


def test_a_rate_of_small_files_says_something_about_large_ones():
    """1,000 files of 1 KB a second aren't 1 MB a second for one of 1 GB: a file's own cost counts."""
    rate = Rate().after(1.0, 1000, 1_000_000)
    assert rate.bytes_per_second == 1_000_000
    needed = rate.seconds_for(Backlog(1, 1_000_000_000))
    assert needed == pytest.approx(
        (1e9 + FILE_COST_BYTES) / (1000 * FILE_COST_BYTES + 1e6), rel=1e-6
    )
    assert needed < 3.0


def test_a_limit_that_was_not_felt_yet_counts():
    """``--bwlimit`` lets the first bytes pass at once."""
    rate = Rate().after(0.01, 1, MIB)
    assert rate.seconds_for(Backlog(10, 100 * MIB), 10 * MIB) == 10.0
    assert rate.seconds_for(Backlog(10, 100 * MIB), 10_000 * MIB) < 1.0


@given(rates, backlogs)
def test_the_estimate_lies_between_those_by_files_alone_and_by_bytes_alone(rate, backlog):
    """Whatever the mixture that was measured, and the one that waits."""
    by_files = backlog.files / rate.files_per_second
    by_bytes = backlog.size_bytes / rate.bytes_per_second if rate.bytes_per_second else float("inf")
    least, most = sorted([by_files, by_bytes])
    needed = rate.seconds_for(backlog)
    assert least * 0.999 <= needed <= most * 1.001


@given(rates, backlogs, st.integers(0, 10**12))
def test_more_never_needs_less(rate, backlog, more_bytes):
    """A backlog that grows needs longer."""
    larger = Backlog(backlog.files + 1, backlog.size_bytes + more_bytes)
    assert rate.seconds_for(larger) >= rate.seconds_for(backlog)


def test_the_latest_minute_counts_most():
    """A store that became ten times slower is known to be after a few minutes, and felt at once."""
    rate = Rate().after(600.0, 600, 600 * 100 * MIB)
    for _ in range(18):
        rate = rate.after(10.0, 1, 100 * MIB)
    assert rate.bytes_per_second < 25 * MIB
    assert Rate().after(60.0, 0, 0).after(1.0, 1, MIB).bytes_per_second < MIB


@given(st.floats(1.0, 600.0), st.integers(2, 50))
def test_a_long_time_counts_as_the_moments_that_it_is_made_of(seconds, pieces):
    """However seldom somebody looks."""
    once = Rate(10.0, 5.0, 1000.0).after(seconds, 1000 * pieces, 10**6 * pieces)
    often = Rate(10.0, 5.0, 1000.0)
    for _ in range(pieces):
        often = often.after(seconds / pieces, 1000, 10**6)
    assert once == pytest.approx(often, rel=1e-6)


@given(rates, st.integers(-(10**12), -1))
def test_what_is_taken_back_never_makes_a_rate_negative(rate, size_bytes):
    """A failed upload's bytes are no progress, and no regress."""
    assert rate.after(1.0, -1, size_bytes).bytes_per_second >= 0


@pytest.mark.parametrize(
    ("needed", "was_large", "expected"),
    [
        (14.9, False, False),
        (15.1, False, True),
        (15.1, True, True),
        (7.6, True, True),
        (7.4, True, False),
        (None, False, False),
        (None, True, True),
    ],
)
def test_half_of_the_grace_is_passed_once_until_a_quarter_is(needed, was_large, expected):
    """A backlog that swings around the half is told once."""
    assert expected == is_large(needed, 30.0, was_large=was_large)


def test_sizes_of_a_sample_stand_for_the_others():
    """All of few are looked at; of many, some."""
    assert estimate(2, [10, 30]) == Backlog(2, 40)
    assert estimate(100, [10, 30]) == Backlog(100, 2000, is_estimate=True)
    assert estimate(0, []) == Backlog()


def test_what_has_arrived_of_an_upload_by_parts_waits_no_longer(tmp_path):
    """Sizes are looked up by path, less the parts that the journal has; what is no file costs nothing."""
    (tmp_path / "large").write_bytes(b"x" * 1000)
    (tmp_path / "small").write_bytes(b"x" * 10)
    (tmp_path / "directory").mkdir()
    journal = Journal.in_memory("place")
    path = RelPath("large")
    state = FileState.of(os.stat(tmp_path / "large"))
    journal.intend(path, Key("large"), state, 300, 0.0)
    journal.begun(path, "id")
    journal.part_sent(path, Part(1, ETag("a"), 300))
    journal.part_sent(path, Part(3, ETag("c"), 300))
    sample = [path, RelPath("small"), RelPath("gone"), RelPath("directory/")]
    assert measure(Survey(4, sample), str(tmp_path), journal) == Backlog(4, 410)
    journal.close()
