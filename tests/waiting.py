"""Waiting for what another thread will do."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
DEADLINE_SECONDS = 30.0


def eventually(condition: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """Look again and again until ``condition()`` is true; fails at the deadline."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.02)
