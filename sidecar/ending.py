"""
How the end of main comes to be known: by a signal, a done-file, its process, being its parent, or the
grace running out.
"""

import signal
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from lighterman.clock import Clock
from lighterman.log import get_logger
from sidecar.done_file import DoneFile
from sidecar.drain import Ending
from sidecar.loop import Loop
from sidecar.options import Options
from sidecar.stop_mark import grace_left
from sidecar.watched_process import WatchedProcess

SAME_SIGNAL_SECONDS: Final = 0.2
"""Who signals a process and its group (``timeout``, shells) says it twice and means it once."""


class Main(Protocol):
    """Whose outputs they are, where this process is its parent."""

    @property
    def ended(self) -> bool:
        """Whether it has."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it has, and not with 0."""
        ...

    def start(self) -> None:
        """Start it, once the bucket is known to be there."""
        ...

    def reap(self) -> None:
        """After SIGCHLD: see whether it ended."""
        ...

    def pass_on(self, number: int) -> None:
        """Send it a signal."""
        ...

    def kill(self) -> None:
        """It has no time left."""
        ...


class MainsEnd:
    """Lives in the main thread."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        main: Main | None,
        *,
        loop: Loop,
        process: WatchedProcess | None,
        states: Sequence[str] = (),
    ) -> None:
        """``states``: the state directories of several outputs; a stop is marked in any of them."""
        self._options = options
        self._clock = clock
        self._loop = loop
        self._process = process
        self._states = states or (options.state,)
        self.main = main
        self.done_file = DoneFile(options.done_file, clock) if options.done_file else None
        self.is_known = options.once
        """Something told of it: main writes no more."""
        self.ending: Ending | None = None
        """The grace, once a signal began it."""
        self.stop_now = False
        """A second signal came."""

    def listen(self, told: threading.Event) -> None:
        """From now on signals are heard. ``told`` is set if one to stop came before."""
        loop = self._loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.catch(number, self._stop)
        if self.main:
            for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
                loop.catch(number, self.main.pass_on)
            reap = self.main.reap
            loop.catch(signal.SIGCHLD, lambda _: reap())
        if told.is_set():
            self._stop(signal.SIGTERM)

    @property
    def is_main_running(self) -> bool:
        """Whether this process's own child still runs."""
        return self.main is not None and not self.main.ended

    @property
    def has_failed(self) -> bool:
        """Whether this process's own child has ended badly."""
        return self.main is not None and self.main.failed

    def is_over(self, now: float, walk_seconds: float) -> bool:
        """Whether nothing that happens from now on is waited for."""
        if self.main and self.main.ended:
            self.is_known = True
        if self.done_file and not self.is_known:
            self.is_known = self.done_file.is_there()
        if self._process and not self.is_known:
            self.is_known = self._process.has_ended(self._loop)
        last_walk_at = self.last_walk_at(walk_seconds)
        return self.is_known or (last_walk_at is not None and now >= last_walk_at)

    @property
    def look_at(self) -> float | None:
        """When ``is_over`` has to be asked again, if nothing happens before."""
        times = (each.look_at for each in (self.done_file, self._process) if each)
        return min((time for time in times if time is not None), default=None)

    def final_walk_at(self, walk_seconds: float) -> float | None:
        """When everything is sent as it is, though nothing told of main's end."""
        ending = self._ending_without_word
        return ending.final_walk_at(walk_seconds) if ending else None

    def last_walk_at(self, walk_seconds: float) -> float | None:
        """When what main does from then on is too late."""
        ending = self._ending_without_word
        return ending.last_walk_at(walk_seconds) if ending else None

    @property
    def _ending_without_word(self) -> Ending | None:
        """The grace, unless main's own end is waited for: it decides whether anything goes."""
        return None if self._options.drops_failed and self.is_main_running else self.ending

    def _stop(self, number: int) -> None:
        if self.main and not self.main.ended:
            self.main.pass_on(number)
            if number == signal.SIGINT:  # CMD's own affair, until it ended
                return
        now = self._clock.monotonic()
        if self.ending is not None:
            self.stop_now = now >= self.ending.began + SAME_SIGNAL_SECONDS
            return
        grace_seconds = self._options.grace_seconds
        left_seconds = min(grace_left(state, grace_seconds) for state in self._states)
        self.ending = Ending(now, left_seconds)
        if self.main is None and self._options.native:
            self.is_known = True
        get_logger().info(
            "sidecar.stopping",
            signal=signal.Signals(number).name,
            grace_seconds=self._options.grace_seconds,
            left_seconds=round(left_seconds, 1),
            native=self._options.native,
        )
