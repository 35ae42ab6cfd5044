"""Mode and mtime in the forms that other tools write and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.stores.contract import Attributes
from lighterman.stores.metadata import from_metadata, parsed_rfc_3339, rfc_3339, to_metadata

YEAR_1_NS = -62_135_596_800 * 10**9
YEAR_10000_NS = 253_402_300_800 * 10**9


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789Z"),
        (1_700_000_000_500_000_000, "2023-11-14T22:13:20.5Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (YEAR_1_NS, "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_written_as_rclone_does(mtime_ns, text):
    """UTC, with as many digits of the second as there are."""
    assert text == rfc_3339(mtime_ns)


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
        ("2023-11-14 22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.1234567891Z", 1_700_000_000_123_456_789),
        ("2023-13-14T22:13:20Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_what_is_no_time_isnt_known(text, mtime_ns):
    """Nanoseconds since the epoch; ``None`` for what is no time of this form."""
    assert mtime_ns == parsed_rfc_3339(text)


@pytest.mark.parametrize("mtime_ns", [YEAR_10000_NS, YEAR_1_NS - 1, 2**70])
def test_a_year_without_such_a_form_is_left_out(mtime_ns):
    """``""`` for a year that has no such form."""
    assert {} == to_metadata(Attributes(mtime_ns=mtime_ns), "key")


@given(st.integers(YEAR_1_NS, YEAR_10000_NS - 1), st.integers(0, 0o7777), st.booleans())
def test_what_is_written_is_read(mtime_ns, mode, is_directory):
    """To the nanosecond, and every bit of the mode."""
    given_ones = Attributes(None, mode, mtime_ns)
    key = "dir/" if is_directory else "file"
    assert given_ones == from_metadata(to_metadata(given_ones, key), None)
