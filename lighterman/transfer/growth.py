"""How many transfers run at once: more, as long as more bring more. Pure; the caller reads the clock."""

from typing import Final

WORTH_MORE: Final = 1.2
"""
Twice as many must bring at least so much more, else they are enough: a store that only answers late gives 2,
one that is busy gives 1, and what other processes do moves a short measurement by a tenth.
"""
WAITING: Final = 0.5
"""Whoever is at work for more than half of the time gains nothing from more to wait for."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""What was enough may be too few later: a store that was busy is idle again."""


class Growth:
    """A width between ``first`` and ``most``, doubled while that pays."""

    def __init__(self, first: int, most: int) -> None:
        self.width = min(first, most)
        """How many may run at once now."""
        self._most = most
        self._since: float | None = None
        self._waited_before = 0.0
        self._ended = 0
        self._amount = 0.0
        self._rate_before = 0.0
        self._enough_until = 0.0

    def ended(self, amount: float = 1.0) -> None:
        """One transfer ended, which brought ``amount`` (files or bytes, always the same)."""
        self._ended += 1
        self._amount += amount

    def look(self, now: float, waited_seconds: float) -> None:
        """
        Widen, if that is worth it. Cheap; to be called often. ``waited_seconds`` is a running total, of the same
        clock as ``now``, of the time in which there was nothing to do but wait.
        """
        if self.width >= self._most or now < self._enough_until:
            return
        if self._since is None:
            self._begin(now, waited_seconds)
            return
        took_seconds = now - self._since
        if self._ended < self.width or took_seconds <= 0:
            return
        rate = self._amount / took_seconds
        is_waiting = waited_seconds - self._waited_before >= WAITING * took_seconds
        self._begin(now, waited_seconds)
        if rate < WORTH_MORE * self._rate_before:
            self._enough_until = now + LOOK_AGAIN_SECONDS
            self._rate_before = 0.0
            self._since = None
        elif is_waiting:
            self._rate_before = rate
            self.width = min(self._most, 2 * self.width)

    def _begin(self, now: float, waited_seconds: float) -> None:
        self._since, self._waited_before = now, waited_seconds
        self._ended, self._amount = 0, 0.0
