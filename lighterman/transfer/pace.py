"""
How many requests of one connection run at once: additive increase, multiplicative decrease.

A store that asks for less (429, 503) halves the number at once, for all transfers of the connection;
each round of requests that went well gives one back.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lighterman.errors import SlowDownError


class Pace:
    """A gate with a moving width between 1 and ``most``."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("a pace of less than one request at once never ends")
        self.most = most
        self._width = float(most)
        self._running = 0
        self._narrowings = 0
        self._changed = threading.Condition()

    @property
    def width(self) -> int:
        """Requests that may run at once now."""
        return int(self._width)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """
        Hold one of the places for the length of the block, which is one request or a few.

        A ``SlowDownError`` that passes through narrows the gate, an end without error widens it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._running < int(self._width))
            self._running += 1
            narrowings_seen = self._narrowings
        try:
            yield
        except SlowDownError:
            self._slowed(narrowings_seen)
            raise
        else:
            self._went_well()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def _slowed(self, narrowings_seen: int) -> None:
        with self._changed:
            # One burst of refusals is one answer: requests that were under way when the gate was
            # narrowed say nothing new.
            if narrowings_seen == self._narrowings:
                self._width = max(1.0, self._width / 2)
                self._narrowings += 1

    def _went_well(self) -> None:
        if self._width >= self.most:  # the usual case takes no lock
            return
        with self._changed:
            self._width = min(float(self.most), self._width + 1 / self._width)
            self._changed.notify()
