"""Threads that take work until there is none left, one of them fails, or the process is told to stop."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from lighterman.clock import Clock
from lighterman.transfer.growth import Growth

Work: TypeAlias = Callable[[], None]

FIRST_WORKERS: Final = 16
"""Enough where a request takes a millisecond; more only compete for the interpreter (measured on 2 cores)."""
MOST_WORKERS: Final = 128
"""Threads: what is beyond brings little, and each takes memory (measured: 0.4 MiB)."""
FIRST_SUPPLIED: Final = 4
"""Ranges of large files, and files that the lane left, at once: four ranges fill a local store's 1.5 GB/s, more only cost switches."""
MOST_SUPPLIED: Final = 64
"""What each takes of memory is the budget's to give; more never paid."""
TICK_SECONDS: Final = 0.025
WORTH_MORE_WORKERS_SECONDS: Final = 0.004
"""A file that takes longer than this is mostly waited for: then more workers may bring more files."""
WORTH_HAVING_HIRED: Final = 1.5
"""
Twice the workers must bring so many times the files, else no more are hired: half-way between a store that
only answers late (2) and one that is busy (1).
"""
FILES_PER_WORKER_MEASURED: Final = 4
"""So many files of each worker make a rate that chance moves by less than that distance."""
SILENT_SECONDS: Final = 0.25
"""When no file at all came for so long, they are waited for, whatever the store is busy with."""
HALT_SECONDS: Final = 5.0
"""How long workers may take to end their last request once the work is given up."""


class Supply(Protocol):
    """Work that another work found: the ranges of a large file."""

    def next(self) -> Work | None:
        """The next piece; ``None`` when there is none, now and later."""
        ...


class Works(Protocol):
    """All that is to be done, in order."""

    is_over: bool
    """Whether no more will come."""

    def next(self) -> Work | None:
        """The next piece; ``None``: none now, or, where nothing is under way, none at all."""
        ...


class Crew:
    """
    Carries out ``works``, which is advanced by one worker at a time, so that order and memory are its own.
    Supplies come first, a few at once. More workers are hired as long as they bring more.
    """

    def __init__(
        self,
        works: Works,
        most_workers: int,
        clock: Clock,
        stop: threading.Event,
        *,
        most_supplied: int = MOST_SUPPLIED,
    ) -> None:
        self._works = works
        self._most_workers = min(MOST_WORKERS, most_workers)
        self._clock = clock
        self._stop = stop
        self._supplies: deque[Supply] = deque()
        self._changed = threading.Condition()
        self._under_way = 0
        self._waiting = 0
        self._workers = 0
        self._hired = 0
        self._supplied = 0
        self._supply_growth = Growth(FIRST_SUPPLIED, min(most_supplied, most_workers))
        self._finished_works = 0
        self._rate_before = 0.0
        self._measured_since: float | None = None
        self._is_crew_full = False
        self._is_halted = False
        self._over = threading.Event()
        self.error: BaseException | None = None
        """What the first worker that failed failed with."""

    @property
    def is_done(self) -> bool:
        """Whether all work was carried out."""
        with self._changed:
            is_empty = self._works.is_over and not self._supplies and not self._under_way
            return is_empty and self.error is None

    @property
    def is_halted(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._is_halted or self._stop.is_set()

    @property
    def backlog(self) -> int:
        """Supplies that wait, or aren't used up."""
        return len(self._supplies)

    def supply(self, supply: Supply) -> None:
        """More work, to be done before what is in line."""
        with self._changed:
            self._supplies.append(supply)
            self._changed.notify_all()

    def brought(self, size_bytes: int) -> None:
        """A supplied work brought so many bytes; more are done at once as long as that brings more."""
        with self._changed:
            self._supply_growth.ended(size_bytes)

    def run(self, tick: Callable[[], None], works_hint: int) -> bool:
        """
        Work until all is done, a worker failed or ``stop`` is set; calls ``tick`` now and then. False when
        some workers are still stuck in a request ``HALT_SECONDS`` after the work was given up.
        """
        self._hire(min(FIRST_WORKERS, self._most_workers, max(1, works_hint)))
        try:
            while not self._clock.wait(TICK_SECONDS, self._over):
                if self._stop.is_set() or self.error is not None:
                    self._halt()
                    break
                tick()
                self._hire_if_worthwhile()
                self._hire_for_supplies()
        except BaseException:  # nobody works on while whoever called cleans up
            self._halt()
            self._clock.wait(HALT_SECONDS, self._over)
            raise
        return self._clock.wait(HALT_SECONDS, self._over)

    def _halt(self) -> None:
        with self._changed:
            self._is_halted = True
            self._changed.notify_all()

    def _hire(self, count: int) -> None:
        for _ in range(count):
            with self._changed:
                if self._over.is_set():
                    return
                self._workers += 1
            self._hired += 1
            thread = threading.Thread(target=self._work, name=f"init-{self._hired}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads are to be had
                with self._changed:
                    self._workers -= 1
                if not self._workers:
                    raise
                self._most_workers = self._hired = self._hired - 1
                return

    def _hire_for_supplies(self) -> None:
        now = self._clock.monotonic()
        with self._changed:
            width = self._supply_growth.width
            if self._supplied < width:  # nobody waits for a place
                return
            self._supply_growth.look(now, now)
            if self._supply_growth.width == width:
                return
            wanted = self._supply_growth.width - self._supplied - self._waiting
            self._changed.notify_all()
        if wanted > 0:
            self._hire(min(wanted, self._most_workers - self._hired))

    def _hire_if_worthwhile(self) -> None:
        if self._is_crew_full or self._hired >= self._most_workers:
            return
        now = self._clock.monotonic()
        with self._changed:
            finished = self._finished_works
            is_waited_for = not self._works.is_over and not self._waiting
            if self._measured_since is None or not is_waited_for:
                # The first tick after a hiring is its warming up.
                self._measured_since, self._finished_works = now, 0
                return
            took_seconds = now - self._measured_since
            is_silent = not finished and took_seconds >= SILENT_SECONDS
            if finished < FILES_PER_WORKER_MEASURED * self._hired and not is_silent:
                return
        if is_silent:
            self._measured_since = None
            self._hire_as_many()
            return
        rate = finished / took_seconds
        self._measured_since = None
        if rate < WORTH_HAVING_HIRED * self._rate_before:
            self._is_crew_full = True
        elif self._hired / rate >= WORTH_MORE_WORKERS_SECONDS:
            self._rate_before = rate
            self._hire_as_many()

    def _hire_as_many(self) -> None:
        self._hire(min(self._hired, self._most_workers - self._hired))

    def _work(self) -> None:
        try:
            taken = self._take(None)
            while taken is not None:
                taken.work()
                taken = self._take(taken)
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever called run
            with self._changed:
                if self.error is None:
                    self.error = error
                self._is_halted = True
                self._changed.notify_all()
        finally:
            with self._changed:
                self._workers -= 1
                if not self._workers:
                    self._over.set()

    def _take(self, before: "_Taken | None") -> "_Taken | None":
        with self._changed:
            if before is not None:
                self._under_way -= 1
                if before.is_supplied:
                    self._supplied -= 1
                    self._changed.notify()
                else:
                    self._finished_works += 1
                    if self._waiting:
                        self._changed.notify_all()
            while not (self._is_halted or self._stop.is_set()):
                taken = self._available()
                if taken is not None:
                    self._under_way += 1
                    self._supplied += taken.is_supplied
                    return taken
                if not self._under_way:
                    break
                self._waiting += 1  # what is under way may yet supply more
                self._changed.wait()
                self._waiting -= 1
            self._changed.notify_all()
            return None

    def _available(self) -> "_Taken | None":
        while self._supplies and self._supplied < self._supply_growth.width:
            work = self._supplies[0].next()
            if work is not None:
                return _Taken(work, is_supplied=True)
            self._supplies.popleft()
        work = self._works.next()
        return _Taken(work, is_supplied=False) if work is not None else None


class _Taken(NamedTuple):
    work: Work
    is_supplied: bool
