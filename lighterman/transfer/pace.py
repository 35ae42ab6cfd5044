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
        self._running = self._waiting = 0
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
            self._waiting += 1
            try:
                self._changed.wait_for(self._has_room)
            finally:
                self._waiting -= 1
            self._running += 1
            narrowings_seen = self._narrowings
        slowed_down = went_well = False
        try:
            yield
            went_well = True
        except SlowDownError:
            slowed_down = True
            raise
        finally:
            self.leave(narrowings_seen, slowed_down=slowed_down, went_well=went_well)

    def enter_now(self) -> int | None:
        """Take one of the places, if one is free, until ``leave``, which wants the number that this returns."""
        with self._changed:
            if self._waiting or not self._has_room():
                return None  # those who wait come first
            self._running += 1
            return self._narrowings

    def leave(self, entered: int, *, slowed_down: bool = False, went_well: bool = False) -> None:
        """Give a place back. ``slowed_down``: the store asked for less; ``went_well``: without an error."""
        with self._changed:
            self._running -= 1
            # One burst of refusals is one answer: requests that were under way when the gate was
            # narrowed say nothing new.
            if slowed_down and entered == self._narrowings:
                self._width = max(1.0, self._width / 2)
                self._narrowings += 1
            elif went_well and self._width < self.most:
                self._width = min(float(self.most), self._width + 1 / self._width)
            self._changed.notify()

    def _has_room(self) -> bool:
        return self._running < int(self._width)
