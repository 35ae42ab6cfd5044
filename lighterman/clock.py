"""Time and waiting go through one object, so that tests need no sleep."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the program asks of time."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, comparable with a file's mtime and ctime."""
        ...

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        """Wait at most ``seconds``, or until ``until`` is set; true when it was set."""
        ...


class SystemClock:
    """The real one."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        return (until or threading.Event()).wait(max(0.0, seconds))
