"""Logs: structlog on stderr; JSON lines, or human text on a terminal."""

import io
import json
import subprocess
import sys

import pytest

from lighterman import log
from lighterman.secret import Secret


@pytest.fixture
def stream():
    stream = io.StringIO()
    yield stream
    log.configure()


def test_a_line_is_one_json_object_with_the_event_and_its_fields(stream):
    """JSON lines, dotted event names, fields with units in their names."""
    log.configure("info", "json", stream)
    log.get_logger().info("init.file_fetched", size_bytes=12, key="a b")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["size_bytes"], line["key"]) == (
        "init.file_fetched",
        "info",
        12,
        "a b",
    )
    assert line["timestamp"].endswith("Z")


def test_text_is_for_people(stream):
    """The same event as text."""
    log.configure("info", "text", stream)
    log.get_logger().warning("transfer.retry", wait_seconds=0.5)
    assert "transfer.retry" in stream.getvalue()
    assert "wait_seconds=0.5" in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_what_the_level_asks_for_is_written(stream, level, written):
    """`--log-level`."""
    log.configure(level, "json", stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(log.get_logger(), name)("a.b")
    assert [json.loads(line)["level"] for line in stream.getvalue().splitlines()] == written


@pytest.mark.parametrize("style", ["json", "text"])
def test_no_credential_ever_reaches_a_log(stream, style):
    """Masked as a value, inside a text, URL-quoted, and inside other types."""
    secret = Secret("abc/DEF+ghi=1234")
    log.configure("debug", style, stream)
    log.get_logger().error(
        "x.y",
        secret=secret,
        text=f"https://h/?sig={secret.reveal()}&x",
        quoted="https://h/?sig=abc%2FDEF%2Bghi%3D1234",
        error=ValueError(secret.reveal()),
        several=[secret.reveal()],
    )
    assert "abc/DEF" not in stream.getvalue()
    assert "abc%2FDEF" not in stream.getvalue()
    assert "********" in stream.getvalue()


def test_structlog_is_loaded_by_the_first_line_only():
    """A run that says nothing doesn't wait for it; rich is never pulled in by it."""
    program = (
        "import sys; from lighterman import log; assert 'structlog' not in sys.modules;"
        "log.get_logger().info('a.b'); assert 'structlog' in sys.modules;"
        "assert 'rich' not in sys.modules; import rich"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert '"a.b"' in done.stderr
