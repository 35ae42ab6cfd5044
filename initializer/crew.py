"""Threads that take work until there is none left, one of them fails, or the process is told to stop."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol, TypeAlias

from lighterman.clock import Clock

Work: TypeAlias = Callable[[], None]

FIRST_WORKERS: Final = 16
"""Enough where a request takes a millisecond; more only compete for the interpreter (measured on 2 cores)."""
TICK_SECONDS: Final = 0.05
WORTH_MORE_WORKERS_SECONDS: Final = 0.004
"""A file that takes longer than this is mostly waited for: then more workers bring more files."""
HALT_SECONDS: Final = 5.0
"""How long workers may take to end their last request once the work is given up."""


class Supply(Protocol):
    """Work that another work found: the ranges of a large file."""

    def next(self) -> Work | None:
        """The next piece; ``None`` when there is none, now and later."""
        ...


class Crew:
    """
    Carries out ``works``, which is advanced by one worker at a time, so that order and memory are its own.
    Supplies come first. More workers are hired while files are waited for rather than worked at.
    """

    def __init__(
        self, works: Iterator[Work], most_workers: int, clock: Clock, stop: threading.Event
    ) -> None:
        self._works: Iterator[Work] | None = works
        self._most_workers = most_workers
        self._clock = clock
        self._stop = stop
        self._supplies: deque[Supply] = deque()
        self._changed = threading.Condition()
        self._under_way = 0
        self._waiting = 0
        self._workers = 0
        self._hired = 0
        self._finished_works = 0
        self._is_halted = False
        self._over = threading.Event()
        self.error: BaseException | None = None
        """What the first worker that failed failed with."""

    @property
    def is_done(self) -> bool:
        """Whether all work was carried out."""
        with self._changed:
            is_empty = self._works is None and not self._supplies and not self._under_way
            return is_empty and self.error is None

    def supply(self, supply: Supply) -> None:
        """More work, to be done before what is in line."""
        with self._changed:
            self._supplies.append(supply)
            self._changed.notify_all()

    def run(self, tick: Callable[[], None], works_hint: int) -> bool:
        """
        Work until all is done, a worker failed or ``stop`` is set; calls ``tick`` now and then. False when
        some workers are still stuck in a request ``HALT_SECONDS`` after the work was given up.
        """
        self._hire(min(FIRST_WORKERS, self._most_workers, max(1, works_hint)))
        while not self._clock.wait(TICK_SECONDS, self._over):
            if self._stop.is_set() or self.error is not None:
                self._halt()
                break
            tick()
            self._hire_if_worthwhile()
        return self._clock.wait(HALT_SECONDS, self._over)

    def _halt(self) -> None:
        with self._changed:
            self._is_halted = True
            self._changed.notify_all()

    def _hire(self, count: int) -> None:
        with self._changed:
            if self._over.is_set():
                return
            self._workers += count
        for _ in range(count):
            self._hired += 1
            threading.Thread(target=self._work, name=f"init-{self._hired}", daemon=True).start()

    def _hire_if_worthwhile(self) -> None:
        with self._changed:
            finished, self._finished_works = self._finished_works, 0
            waited_for = self._works is not None and not self._supplies and not self._waiting
        seconds_each = self._hired * TICK_SECONDS / max(1, finished)
        if waited_for and seconds_each > WORTH_MORE_WORKERS_SECONDS:
            self._hire(min(self._hired, self._most_workers - self._hired))

    def _work(self) -> None:
        try:
            work = self._take(after_one=False)
            while work is not None:
                work()
                work = self._take(after_one=True)
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

    def _take(self, *, after_one: bool) -> Work | None:
        with self._changed:
            if after_one:
                self._under_way -= 1
                self._finished_works += 1
            while not (self._is_halted or self._stop.is_set()):
                work = self._available()
                if work is not None:
                    self._under_way += 1
                    return work
                if not self._under_way:
                    break
                self._waiting += 1  # what is under way may yet supply more
                self._changed.wait()
                self._waiting -= 1
            self._changed.notify_all()
            return None

    def _available(self) -> Work | None:
        while self._supplies:
            work = self._supplies[0].next()
            if work is not None:
                return work
            self._supplies.popleft()
        if self._works is None:
            return None
        work = next(self._works, None)
        if work is None:
            self._works = None
        return work
