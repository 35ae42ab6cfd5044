"""How fast bytes go, in both directions together: one rate for all transfers of the process."""

import threading
from typing import Final

from lighterman.clock import Clock

BURST_SECONDS: Final = 0.5
"""So much of the rate may go at once: what was left unused before is gone."""
_LEAST_SLICE_BYTES: Final = 64 * 1024
_LONGEST_WAIT_SECONDS: Final = 3600.0
"""Of one look at the clock: what a wait takes is bounded by ``threading.TIMEOUT_MAX``."""


def limiter_of(bytes_per_second: int, clock: Clock) -> "Limiter | None":
    """The limiter of that rate; ``None`` for 0, which is no limit."""
    return Limiter(bytes_per_second, clock) if bytes_per_second else None


class Limiter:
    """
    A token bucket that is never in debt: whoever takes is told when all of what was taken, by all, fits. From
    any moment on, no more than the rate times the seconds that passed, and half a second's worth, is let
    go; a single taking of more than that goes alone, late enough. First come, first served.
    """

    def __init__(self, bytes_per_second: float, clock: Clock) -> None:
        if bytes_per_second <= 0:
            raise ValueError(f"at {bytes_per_second} bytes per second nothing ever ends")
        self.bytes_per_second = bytes_per_second
        self._clock = clock
        self._turn = threading.Lock()
        self._paid_until = clock.monotonic()

    @property
    def slice_bytes(self) -> int:
        """What is read in one request, at most, so that no single one goes far beyond the rate."""
        return max(_LEAST_SLICE_BYTES, int(self.bytes_per_second * BURST_SECONDS))

    def take(self, size_bytes: int) -> float:
        """Take so many bytes; returns the seconds to wait before they may go. They can't be given back."""
        with self._turn:
            now = self._clock.monotonic()
            begun = max(now, self._paid_until)
            self._paid_until = begun + size_bytes / self.bytes_per_second
            return max(0.0, self._paid_until - BURST_SECONDS - now)

    def wait_for(self, size_bytes: int, stop: threading.Event | None = None) -> bool:
        """Take so many bytes and wait until they may go; false if ``stop`` was set before."""
        due = self._clock.monotonic() + self.take(size_bytes)
        while (left := due - self._clock.monotonic()) > 0:
            if self._clock.wait(min(left, _LONGEST_WAIT_SECONDS), stop):
                return False
        return True
