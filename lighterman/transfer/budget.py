"""One byte budget for every buffer of the process: taken before it is filled, given back after."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """
    ``take(n)`` waits until ``n`` bytes are free. First come, first served, so that a large taker isn't
    starved by small ones. A taker of more than the whole budget gets the whole budget, alone.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ValueError(f"a budget of {limit_bytes} bytes can't hold a buffer")
        self.limit_bytes = limit_bytes
        self._free_bytes = limit_bytes
        self._changed = threading.Condition()
        self._queue: list[object] = []

    @contextmanager
    def take(self, size_bytes: int) -> Iterator[None]:
        """Hold ``size_bytes`` of the budget for the length of the block."""
        size_bytes = min(max(0, size_bytes), self.limit_bytes)
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._queue[0] is ticket and self._free_bytes >= size_bytes
                )
                self._free_bytes -= size_bytes
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free_bytes += size_bytes
                self._changed.notify_all()

    def take_now(self, size_bytes: int) -> bool:
        """Take so much if it is free and nobody waits, until ``give_back`` of the same; false if not."""
        size_bytes = min(max(0, size_bytes), self.limit_bytes)
        with self._changed:
            if self._queue or self._free_bytes < size_bytes:
                return False
            self._free_bytes -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """What ``take_now`` took."""
        with self._changed:
            self._free_bytes += min(max(0, size_bytes), self.limit_bytes)
            self._changed.notify_all()
