"""
One thread that waits and decides, and threads that work for it: whatever they find out is posted back,
so that no state but theirs is shared. Waiting costs nothing: one ``poll``, woken by what happens.
"""

import contextlib
import os
import queue
import select
import signal
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Any, Generic, NamedTuple, Self, TypeVar

T = TypeVar("T")


class Failed(NamedTuple):
    """Work that ended with an exception."""

    error: BaseException


class Done(NamedTuple, Generic[T]):
    """Work that ended with a value."""

    value: T


class Loop:
    """
    One thread's. Signals, readable descriptors and what other threads post are turned into calls,
    made one after the other in ``turn``. Use it as a context: signal handlers are put back at its end.
    Only a loop that catches signals has to be the main thread's.
    """

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)
        self._is_awake = False
        self._handlers: dict[int, Any] = {}
        self._wakeup: int | None = None
        self._threads: list[threading.Thread] = []
        self._dismissals: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._wakeup)
        # The pipe stays open: a thread that is still at work may yet post to it.

    def catch(self, number: int, call: Callable[[int], object]) -> None:
        """``call(number)`` in the next turn after each such signal."""

        def handler(caught: int, _frame: FrameType | None) -> None:
            self._calls.append(lambda: call(caught))

        if self._wakeup is None:
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers.setdefault(number, signal.signal(number, handler))

    def dismiss(self) -> None:
        """For a process that goes on without this loop: its threads end with what they are at."""
        for dismissal in self._dismissals:
            dismissal()

    def close(self) -> None:
        """Once they are dismissed and nothing is under way: the threads are waited for, the pipe is closed."""
        for thread in self._threads:
            thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def listen(self, descriptor: int) -> None:
        """Let ``turn`` end when there is something to read."""
        self._poll.register(descriptor, select.POLLIN)

    def ignore(self, descriptor: int) -> None:
        """No longer ``listen``."""
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def post(self, call: Callable[[], object]) -> None:
        """From any thread: ``call()`` in the next turn of the main thread."""
        self._calls.append(call)
        if not self._is_awake:
            self._is_awake = True
            with contextlib.suppress(BlockingIOError):  # full: it is awake
                os.write(self._writer, b"\0")

    def turn(self, seconds: float | None) -> set[int]:
        """Wait at most so long (``None``: for ever) for something to happen; the readable descriptors."""
        timeout = None if seconds is None else max(0, int(seconds * 1000) + 1)
        readable = {descriptor for descriptor, _ in self._poll.poll(0 if self._calls else timeout)}
        if self._reader in readable:
            readable.discard(self._reader)
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 65536)
        self._is_awake = False
        while self._calls:
            self._calls.popleft()()
        return readable

    def in_background(
        self, name: str, work: Callable[[], T], then: Callable[[Done[T] | Failed], object]
    ) -> None:
        """``work()`` in a thread of its own, then ``then`` with its end in the main thread."""

        def run() -> None:
            end = _end_of(work)
            self.post(lambda: then(end))

        self.start_thread(name, run)

    def start_thread(
        self, name: str, run: Callable[[], None], dismissal: Callable[[], None] | None = None
    ) -> None:
        """A thread that posts; ``dismissal`` tells it to end, where it wouldn't of itself."""
        # A daemon: whoever is stuck in a request must not keep the process.
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        if dismissal:
            self._dismissals.append(dismissal)
        thread.start()


class Pool:
    """Threads that are started as they are needed, and that no one waits for at the end."""

    def __init__(self, loop: Loop, threads: int) -> None:
        self._loop = loop
        self.threads = threads
        """How many there may be."""
        self._started = 0
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._is_halted = False
        self.busy = 0
        """Pieces of work that were submitted and have not ended."""

    @property
    def free(self) -> int:
        """How many pieces it takes now: one for each thread, and one more that is ready to begin."""
        return 2 * self.threads - self.busy

    def submit(self, work: Callable[[], T], then: Callable[[Done[T] | Failed], object]) -> None:
        """``work()`` in one of the threads, then ``then`` with its end in the main thread."""

        def ended(end: Done[T] | Failed) -> None:
            self.busy -= 1
            then(end)

        def run() -> None:
            if self._is_halted:
                self._loop.post(self._drop)
                return
            end = _end_of(work)
            self._loop.post(lambda: ended(end))

        self.busy += 1
        if self._started < min(self.threads, self.busy):
            self._started += 1
            name = f"upload-{self._started}"
            self._loop.start_thread(name, self._serve, dismissal=lambda: self._queue.put(None))
        self._queue.put(run)

    def halt(self) -> None:
        """What has not begun never begins, and nobody is told of it."""
        self._is_halted = True

    def _drop(self) -> None:
        self.busy -= 1

    def _serve(self) -> None:
        while (run := self._queue.get()) is not None:
            run()


def _end_of(work: Callable[[], T]) -> Done[T] | Failed:
    try:
        return Done(work())
    except BaseException as error:  # noqa: BLE001 - whoever asked for it raises it in the main thread
        return Failed(error)
