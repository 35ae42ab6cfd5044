"""Texts that come from elsewhere, made fit for a line that somebody reads."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman import log, report
from lighterman.errors import UntrustedDataError
from lighterman.text import human_bytes, one_line, plain_json
from lighterman.transfer.tally import Tally

HOSTILE = ["\x1b[31mred", "a\x1b]0;title\x07", "\x9b1m", "a\nb", "a\u202eb", "a\u2028b", "\udc80"]


def hostile(text):
    """What a terminal would obey, or couldn't show."""
    return [char for char in text if not char.isprintable()]


@given(st.text(st.characters()))
def test_one_line_is_printable_and_takes_any_encoding(text):
    """Control characters mean nothing to a terminal then."""
    shown = one_line(text)
    assert hostile(shown) == []
    shown.encode()
    assert not text.isprintable() or shown == text


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("key", HOSTILE)
def test_a_log_line_is_one_line_whatever_a_key_holds(style, key):
    """No key reaches a terminal as it is."""
    stream = io.StringIO()
    log.configure("info", style, stream)
    for name in (key, f"{key} with a space", f"{key}'quoted'"):
        log.get_logger().info("init.file_fetched", key=name)
    log.configure()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 4
    assert hostile("".join(lines)) == []


@pytest.mark.parametrize("key", HOSTILE)
def test_a_report_is_one_line_whatever_a_key_holds(key):
    """It is shown by ``kubectl describe``."""
    tally = Tally()
    tally.failed(key, "untrusted_data", key)
    error = UntrustedDataError(key, hint=key)
    encoded = report.encode(report.build("init", tally, 1.0, 65, error)).decode()
    assert hostile(encoded) == []
    [told] = json.loads(encoded)["failed"]["first"]
    assert told["key"] == (key if key.isprintable() or "\udc80" not in key else "\\udc80")


@given(st.text())
def test_plain_json_is_the_same_document(text):
    """Only its spelling differs."""
    encoded = json.dumps(text, ensure_ascii=False)
    assert json.loads(plain_json(encoded)) == text


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB"), (1 << 42, "4.0 TiB")],
)
def test_sizes_for_people(size, shown):
    """Three digits or so, and the unit."""
    assert human_bytes(size) == shown
