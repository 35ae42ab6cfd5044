"""What the sidecar's tests share."""

import io
from collections.abc import Iterator

import pytest

from lighterman import log


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What was logged, as JSON lines."""
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    yield stream
    log.configure()
