"""Looks, in a thread of their own, at the parts of the outputs of which no event tells."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from lighterman.clock import Clock
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.leases import Leases
from sidecar.loop import Done, Failed, Loop
from sidecar.polling import (
    LEAST_SECONDS,
    MOST_SIGHTED,
    Cost,
    Sightings,
    Verdict,
    interval_seconds,
    outermost,
)
from sidecar.settle import Settle
from sidecar.states import RelPath
from sidecar.walk import Dirty, walk


class _Seen(NamedTuple):
    dirty: list[Dirty]
    cost: Cost


class Looks:
    """One look at a time over all the parts. Lives in the main thread."""

    def __init__(
        self,
        loop: Loop,
        settle: Settle,
        *,
        root: str,
        names: Names,
        journal: Journal,
        clock: Clock,
        leases: Leases,
        parts: Callable[[], Iterable[RelPath]],
    ) -> None:
        """``parts`` tells, at each look, which directories are looked at, with all that is below them."""
        self._loop = loop
        self._settle = settle
        self._root = root
        self._names = names
        self._journal = journal
        self._clock = clock
        self._leases = leases
        self._parts = parts
        self._sightings = Sightings()
        self._stopped = threading.Event()
        self._end: Done[_Seen] | Failed | None = None
        self.due: float | None = None
        """When the next look begins; ``None``: one is under way, or there is nothing to look at."""
        self._is_looking = False

    def begin(self) -> None:
        """There are parts to look at, from now on until there are none."""
        if self.due is None and not self._is_looking and not self._stopped.is_set():
            self.due = self._clock.monotonic() + LEAST_SECONDS

    def pump(self, *, may_begin: bool) -> None:
        """Hand on what a look saw; look again when it is time. Raises what ended a look."""
        if self._end is not None:
            end, self._end, self._is_looking = self._end, None, False
            if isinstance(end, Failed):
                raise end.error
            self._take(end.value)
        now = self._clock.monotonic()
        if may_begin and self.due is not None and now >= self.due:
            self._look()

    def stop(self) -> None:
        """What is under way ends soon, and nothing of it is handed on."""
        self._stopped.set()
        self.due = None

    def _look(self) -> None:
        self.due = None
        parts = outermost(self._parts())
        if not parts or self._stopped.is_set():
            return

        def note(end: Done[_Seen] | Failed) -> None:
            if not self._stopped.is_set():
                self._end = end

        self._is_looking = True
        self._loop.in_background("look", lambda: self._look_at(parts), note)

    def _look_at(self, parts: list[RelPath]) -> _Seen:
        """In the look's thread."""
        began, cpu_before = self._clock.monotonic(), time.thread_time()
        dirty: list[Dirty] = []
        looks = (
            look
            for part in parts
            for look in walk(self._root, self._names, self._journal, top=part)
        )
        for look in looks:
            dirty += look.dirty
            if len(dirty) >= MOST_SIGHTED or self._stopped.is_set():
                break
        cost = Cost(time.thread_time() - cpu_before, self._clock.monotonic() - began)
        return _Seen(dirty, cost)

    def _take(self, seen: _Seen) -> None:
        now = self._clock.monotonic()
        for path, state, owner in seen.dirty:
            may_ask = self._leases.may_ask_of(owner)
            match self._sightings.see(path, state, now, may_ask=may_ask):
                case Verdict.CHANGED:
                    self._settle.closed(path, now)
                case Verdict.WRITTEN:
                    self._settle.writing(path, now)
                case Verdict.AT_REST:
                    self._settle.found(path, now, at_rest=True)
                case Verdict.NO_ROOM:
                    self._settle.overflowed = True
                case Verdict.WAITING:
                    pass
        self._sightings.end_of_look()
        self.due = now + interval_seconds(seen.cost)
