"""
What the plan says, in its order: directories are made, small files go down the lane where their store can be
read straight, and the rest goes to the crew.
"""

from __future__ import annotations

import resource
from functools import partial
from typing import TYPE_CHECKING, Final

from initializer.crew import MOST_WORKERS
from initializer.lane import FILE_BYTES, Lane, Reading
from initializer.large import RANGE_BYTES
from initializer.plan import Fetch, MakeDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from initializer.crew import Crew, Work
    from initializer.fetch import Fetcher

MOST_LEFT: Final = 16
"""So many files may wait for the crew before the lane waits too: a plan is longer than memory."""

_OTHER_DESCRIPTORS: Final = 64


class Line:
    """The works of a crew. The first of them is the lane; while that is open, it alone goes on with the plan."""

    crew: Crew

    def __init__(
        self, fetcher: Fetcher, actions: Iterator[Fetch | MakeDirectory], most: int
    ) -> None:
        self._fetcher = fetcher
        self._actions = actions
        self._most = most
        # The lane has a thread of its own; what it leaves needs another.
        self._is_lane_open: bool | None = None if most > 1 else False
        self.is_over = False

    def next(self) -> Work | None:
        """The lane, as the first; then, once that is closed, whatever it left of the plan."""
        if self._is_lane_open is None:
            self._is_lane_open = True
            return self._down_the_lane
        item = None if self._is_lane_open else self.next_file()
        return partial(self._fetcher.fetch, item) if item is not None else None

    def next_file(self) -> Fetch | None:
        """The next file of the plan; the directories before it are made."""
        for action in self._actions:
            if not isinstance(action, MakeDirectory):
                return action
            self._fetcher.make_directory(action.path)
        self.is_over = True
        return None

    def leave(self, item: Fetch) -> None:
        """To be fetched by one of the crew's threads."""
        self.crew.supply(_One(partial(self._fetch_left, item)))

    def _fetch_left(self, item: Fetch) -> None:
        self._fetcher.fetch(item)
        if item.size_bytes <= RANGE_BYTES:  # else its ranges tell of themselves
            self.crew.brought(item.size_bytes)

    def _down_the_lane(self) -> None:
        try:
            readings = self._fetcher.readings()
            if any(readings):
                small = _Small(self, readings)
                Lane(
                    self._fetcher,
                    readings,
                    small,
                    leave=self.leave,
                    is_halted=lambda: self.crew.is_halted,
                    most=min(self._most, _most_connections()),
                ).run()
        finally:
            self._is_lane_open = False


class _Small:
    """Of a line, what is for the lane; the rest goes to the crew, as far as that has room for more."""

    def __init__(self, line: Line, readings: list[Reading | None]) -> None:
        self._line = line
        self._crew = line.crew
        self._readings = readings

    @property
    def is_over(self) -> bool:
        return self._line.is_over

    def next(self) -> Fetch | None:
        while self._crew.backlog < MOST_LEFT:
            item = self._line.next_file()
            if item is None:
                return None
            if item.size_bytes <= FILE_BYTES and self._readings[item.store] is not None:
                return item
            self._line.leave(item)
        return None


def _most_connections() -> int:
    """Each connection has a descriptor, and one for its file; so has each thread, and the process some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - 2 * MOST_WORKERS - _OTHER_DESCRIPTORS) // 2)


class _One:
    """One piece of work, as a supply."""

    def __init__(self, work: Work) -> None:
        self._work: Work | None = work

    def next(self) -> Work | None:
        work, self._work = self._work, None
        return work
