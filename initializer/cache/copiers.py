"""A few threads that work through what a cache may have."""

import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from lighterman.clock import Clock

T = TypeVar("T")

TICK_SECONDS: Final = 0.025
HALT_SECONDS: Final = 5.0
"""How long copies that are under way may take to end once the work is given up."""


def in_threads(
    work: Callable[[T], None],
    items: Iterator[T],
    threads: int,
    *,
    tick: Callable[[], None],
    clock: Clock,
    stop: threading.Event,
) -> bool:
    """
    ``work`` on each item, in threads of which one at a time takes the next; ``tick`` is called now and then. The
    first error ends it, and is raised. False when ``stop`` was set before all was done.
    """
    pool = _Pool(work, items, threads, stop)
    pool.start()
    while not clock.wait(TICK_SECONDS, pool.over):
        if stop.is_set() or pool.error is not None:
            clock.wait(HALT_SECONDS, pool.over)
            break
        tick()
    tick()
    if pool.error is not None:
        raise pool.error
    return pool.is_through


class _Pool:
    def __init__(
        self,
        work: Callable[[T], None],
        items: Iterator[T],
        threads: int,
        stop: threading.Event,
    ) -> None:
        self._work = work
        self._items = items
        self._stop = stop
        self._turn = threading.Lock()
        self._running = threads
        self._has_ended = False
        self.over = threading.Event()
        self.error: BaseException | None = None

    @property
    def is_through(self) -> bool:
        """Whether all items were taken and worked on."""
        return self._has_ended and self.over.is_set()

    def start(self) -> None:
        for number in range(self._running):
            threading.Thread(target=self._run, name=f"cache-{number}", daemon=True).start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and self.error is None:
                with self._turn:
                    item = next(self._items, None)
                    if item is None:
                        self._has_ended = True
                        break
                self._work(item)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self.error = self.error or error
        finally:
            with self._turn:
                self._running -= 1
                if not self._running:
                    self.over.set()
