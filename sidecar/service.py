"""
The sidecar's life: start, watch, and the end, in which everything is sent, compared with a listing,
and, where deletes are mirrored, what is gone is deleted.

All decisions are made in one thread, in ``run``; what waits or carries bytes works in others.
"""

import math
import signal
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, Protocol, TypeVar

from lighterman.clock import Clock
from lighterman.errors import DeadlineError, LightermanError, UntrustedDataError
from lighterman.log import get_logger
from lighterman.stores.contract import Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.deletes import Deletes
from sidecar.dispatch import Dispatch
from sidecar.done_file import DoneFile
from sidecar.drain import Ending
from sidecar.events import Events
from sidecar.globs import STATE_DIRECTORY, Names
from sidecar.journal import Journal
from sidecar.loop import Done, Failed, Loop, Pool
from sidecar.options import Options
from sidecar.rebuild import verify_listing
from sidecar.reconcile import Reconciler
from sidecar.settle import Rules, Settle
from sidecar.states import RelPath, key_of, printable
from sidecar.upload import Uploader
from sidecar.walk import directories

PART_THREADS: Final = 4
MOST_LISTINGS: Final = 3
"""A store that still lacks what it took, so often listed, isn't one to trust."""
MOST_NAMED: Final = 1000
LEAST_LAST_SECONDS: Final = 0.5
LAST_WALKS_OF_ROOM: Final = 3
"""The very last walk begins when three like it, half a second at least, are left of the grace."""
ROOT_GONE_SECONDS: Final = 1.0
"""How often an outputs path that went away is looked for."""


T = TypeVar("T")


class Main(Protocol):
    """Whose outputs they are, where this process is its parent."""

    @property
    def ended(self) -> bool:
        """Whether it has."""
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


SAME_SIGNAL_SECONDS: Final = 0.2
"""Who signals a process and its group (``timeout``, shells) says it twice and means it once."""


class _Phase(Enum):
    STARTING = auto()
    WATCHING = auto()
    WALKING = auto()
    """The final walk is under way, or what it found is being sent."""
    LISTING = auto()
    WAITING = auto()
    """All that was there is in the bucket, and main may still write."""
    DELETING = auto()
    OVER = auto()


class Service:
    """One outputs path and one destination, until the end of main."""

    def __init__(
        self,
        options: Options,
        store: Store,
        journal: Journal,
        *,
        loop: Loop,
        settings: TransferSettings,
        clock: Clock,
        tally: Tally,
        device: int,
        told: threading.Event,
        main: Main | None = None,
    ) -> None:
        """``told`` is set when a signal to stop came before this could listen to them."""
        self._options = options
        self._store = store
        self._journal = journal
        self._loop = loop
        self._clock = clock
        self._tally = tally
        self._main = main
        self._told = told
        self._stop = threading.Event()
        names = Names(
            exclude=options.exclude, live=options.live, hidden_directories=_hidden(options)
        )
        self._names = names
        self._settle = Settle(Rules(options.settle_seconds, options.max_delay_seconds), names)
        self._attempts = Attempts(settings.retry_seconds, clock, tally, self._stop)
        self._uploader = Uploader(
            store,
            options.prefix,
            options.root,
            journal,
            settings=settings,
            clock=clock,
            attempts=self._attempts,
            pace=Pace(options.workers + PART_THREADS),
            budget=Budget(settings.memory_bytes),
            tally=tally,
            part_threads=PART_THREADS,
        )
        self._pool = Pool(loop, options.workers)
        self._dispatch = Dispatch(
            self._settle,
            self._uploader,
            self._pool,
            names=names,
            root=options.root,
            prefix=options.prefix,
            clock=clock,
            tally=tally,
            give_up_seconds=settings.retry_seconds,
            skips_equal=journal.fresh,
        )
        self._events = (
            None if options.once else Events(loop, self._settle, options.root, names, clock)
        )
        self._reconciler = Reconciler(
            loop,
            self._dispatch,
            root=options.root,
            names=names,
            journal=journal,
            clock=clock,
            tally=tally,
            interval_seconds=options.reconcile_seconds,
            seeks_absent=options.deletes == "mirror",
            watch=self._events.watch if self._events else lambda _directory: None,
        )
        self._deletes = Deletes(
            self._uploader, self._pool, self._attempts, root=options.root, device=device
        )
        self._done_file = DoneFile(options.done_file, clock) if options.done_file else None
        self._phase = _Phase.STARTING
        self._ending: Ending | None = None
        self._main_ended = options.once
        self._listings = 0
        self._stop_now = False
        self._walked_again_at = 0.0
        self._again_at: float | None = None
        self._in_background = 0

    def run(self) -> None:
        """
        Until everything of the final walk is in the bucket. Raises the first failure that stayed, or
        ``DeadlineError`` when the grace was over before, or a second SIGTERM came.
        """
        self._listen_to_signals()
        if self._told.is_set():
            self._told_to_stop(signal.SIGTERM)
        self._spawn("start", self._begin, self._begun)
        readable: set[int] = set()
        while True:
            self._decide(readable)
            if self._phase is _Phase.OVER:
                break
            readable = self._loop.turn(self._wait_seconds())
        self._raise_failures()
        get_logger().info(
            "sidecar.drained", path=self._options.root, files=self._tally.totals().files
        )

    @property
    def is_stuck(self) -> bool:
        """Whether threads are still at work, for whom nobody should wait."""
        return bool(self._pool.busy or self._in_background)

    def close(self) -> None:
        """Let go of the watches and of what waits for another attempt."""
        self._stop.set()
        self._reconciler.abandon()
        if self._events:
            self._events.close()
        if not self.is_stuck:
            self._uploader.close()

    # Start

    def _begin(self) -> None:
        """In the background: credentials, bucket and what a killed process left."""
        prefix = f"{self._options.prefix}/" if self._options.prefix else ""
        self._attempts.call(f"list {prefix}", lambda: next(iter(self._store.pages(prefix)), None))
        if self._events:
            is_inside = self._options.state.startswith(self._options.root.rstrip("/") + "/")
            self._events.test(self._options.state if is_inside else self._options.root)
            for directory in directories(self._options.root, self._names):
                self._events.watch(directory)
        self._uploader.recover()
        if self._journal.fresh:
            self._uploader.adopt()

    def _begun(self, _: None) -> None:
        if self._events:
            self._events.say_unwatched(self._options.reconcile_seconds)
            if self._done_file:
                self._done_file.watch(self._events.watch_elsewhere)
        get_logger().info(
            "sidecar.started",
            path=self._options.root,
            connection=self._store.connection,
            prefix=self._options.prefix,
        )
        self._phase = _Phase.WATCHING
        if self._main:
            self._main.start()
        if not self._main_ended:
            self._reconciler.start(final=False)

    # The end, and what tells of it

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.catch(number, self._told_to_stop)
        if self._main:
            for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
                self._loop.catch(number, self._main.pass_on)
            self._loop.catch(signal.SIGCHLD, lambda _: self._main.reap() if self._main else None)

    def _told_to_stop(self, number: int) -> None:
        if self._main and not self._main.ended:
            self._main.pass_on(number)
            if number == signal.SIGINT:  # CMD's own affair, until it ended
                return
        now = self._clock.monotonic()
        if self._ending is not None:
            self._stop_now = now >= self._ending.began + SAME_SIGNAL_SECONDS
            return
        self._ending = Ending(now, self._options.grace_seconds)
        if self._main is None and self._options.native:
            self._main_ended = True
        get_logger().info(
            "sidecar.stopping",
            signal=signal.Signals(number).name,
            grace_seconds=self._options.grace_seconds,
            native=self._options.native,
        )

    def _is_main_over(self) -> bool:
        if self._main and self._main.ended:
            self._main_ended = True
        if self._done_file and not self._main_ended:
            self._main_ended = self._done_file.is_there()
        return self._main_ended

    def _final_walk_at(self) -> float | None:
        """When the last walk begins, though nothing told of main's end."""
        if self._ending is None:
            return None
        last = self._reconciler.last
        return self._ending.final_walk_at(last.seconds if last else 0.0)

    # The loop's turn

    def _decide(self, readable: set[int]) -> None:
        if self._events:
            self._events.pump(readable)
        if self._dispatch.bug:
            raise self._dispatch.bug
        now = self._clock.monotonic()
        if self._stop_now or (self._ending and now >= self._ending.deadline):
            raise self._out_of_time()
        if self._phase is _Phase.STARTING:
            return
        has_walked = self._reconciler.pump()
        self._dispatch.pump()
        if has_walked:
            self._after_walk()
        if self._phase is _Phase.WATCHING:
            self._keep_watching(now)
        elif self._phase is _Phase.WALKING:
            self._finish_sending()
        elif self._phase is _Phase.WAITING:
            self._wait_for_main(now)
        elif self._phase is _Phase.DELETING and not self._pool.busy:
            self._phase = _Phase.OVER

    def _keep_watching(self, now: float) -> None:
        final_walk_at = self._final_walk_at()
        if self._is_main_over() or (final_walk_at is not None and now >= final_walk_at):
            self._drain()
            return
        if self._events and self._events.lost and not self._reconciler.is_walking:
            self._events.lost = False
            self._reconciler.hasten(ROOT_GONE_SECONDS if self._events.root_gone else 0.0)
            self._events.root_gone = False
        if self._settle.overflowed and len(self._settle) == 0:
            self._settle.overflowed = False
            self._reconciler.hasten()
        if self._reconciler.due is not None and now >= self._reconciler.due:
            self._reconciler.start(final=False)
        if self._dispatch.idle and not len(self._settle):
            self._deletes.go()

    def _after_walk(self) -> None:
        walked = self._reconciler.last
        assert walked is not None  # noqa: S101 - a walk has just ended
        if self._options.deletes == "mirror":
            self._deletes.note(walked)
        if RelPath("") in walked.unreadable and self._phase is _Phase.WATCHING:
            self._reconciler.hasten(ROOT_GONE_SECONDS)
        if self._phase is _Phase.WALKING:
            self._dispatch.end_of_walk()
            self._dispatch.pump()
        elif self._events:
            self._events.say_unwatched(self._options.reconcile_seconds)

    # The drain

    def _drain(self) -> None:
        get_logger().info("sidecar.draining", path=self._options.root, known=len(self._settle))
        if self._events:
            self._events.read()
        self._reconciler.abandon()
        self._dispatch.drain()
        self._walk_again()

    def _walk_again(self) -> None:
        self._walked_again_at = self._clock.monotonic()
        self._phase = _Phase.WALKING
        self._reconciler.start(final=True)
        self._dispatch.pump()

    def _finish_sending(self) -> None:
        if self._dispatch.is_refused:
            self._conclude()
            return
        if self._reconciler.is_walking or not self._dispatch.idle or len(self._settle):
            return
        if self._dispatch.failed:
            self._conclude()
            return
        self._phase = _Phase.LISTING
        self._listings += 1
        self._spawn("verify", self._verify, self._verified)

    def _verify(self) -> list[RelPath]:
        return self._attempts.call(
            f"list {self._options.prefix}",
            lambda: verify_listing(self._store, self._options.prefix, self._journal),
        )

    def _verified(self, missing: list[RelPath]) -> None:
        if missing and self._listings >= MOST_LISTINGS:
            for path in missing:
                self._name_missing(path, "not_listed", "the store took it and doesn't list it")
            raise UntrustedDataError(
                f"{len(missing)} outputs were taken by the store and are not in its listing as sent",
                hint="another writer at the same prefix? give each its own --to",
                connection=self._store.connection,
                key=key_of(self._options.prefix, missing[0]),
            )
        if missing:
            get_logger().warning("sidecar.listing_differs", files=len(missing))
            self._walk_again()
        elif self._deletes.needs_another_walk:
            self._walk_again()
        else:
            self._conclude()

    def _conclude(self) -> None:
        """All is done that can be. Main may still write, if nothing told of its end."""
        now = self._clock.monotonic()
        if not self._main_ended and self._ending and (self._main or self._again_at is None):
            took_seconds = now - self._walked_again_at
            room_seconds = max(LEAST_LAST_SECONDS, LAST_WALKS_OF_ROOM * took_seconds)
            if self._again_at is None:
                self._again_at = self._ending.deadline - room_seconds
            self._phase = _Phase.WAITING
        elif self._dispatch.failed:
            self._phase = _Phase.OVER
        else:
            self._phase = _Phase.DELETING
            self._deletes.go()

    def _wait_for_main(self, now: float) -> None:
        """What main writes now is sent at once; it is walked over when main has ended, or at the last moment."""
        is_last_moment = self._again_at is not None and now >= self._again_at
        if is_last_moment:
            self._again_at = math.inf
        if self._is_main_over() or is_last_moment:
            self._walk_again()

    def _out_of_time(self) -> LightermanError:
        self._stop.set()
        if self._main and not self._main.ended:
            self._main.kill()
        missing = self._dispatch.missing()
        for path in missing[:MOST_NAMED]:
            self._name_missing(path, DeadlineError.kind, "not in the bucket when time was over")
        said = (
            "a second signal said now"
            if self._stop_now
            else (f"the grace of {self._options.grace_seconds:g} s was over")
        )
        if missing:
            first = printable(missing[0])
            what = f"{len(missing)} outputs not in the bucket yet ({first} …)"
        else:
            what = "the check against the listing not done"
        if self._main and not self._main.ended:
            what += ", and CMD has not ended"
        more = " and the last walk not finished" if self._reconciler.is_walking else ""
        return DeadlineError(
            f"{said} with {what}{more}",
            hint="another start with the same --state, or lighterman sync, finishes; "
            "a longer --grace (and terminationGracePeriodSeconds) gives more time",
            connection=self._store.connection,
        )

    def _name_missing(self, path: RelPath, kind: str, message: str) -> None:
        if path not in self._dispatch.failed:
            key = key_of(self._options.prefix, RelPath(printable(path)))
            self._tally.failed(key, kind, message)

    def _raise_failures(self) -> None:
        failed = {**self._dispatch.failed, **self._deletes.failed}
        if not failed:
            return
        first = next(iter(failed.values()))
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise type(first)(
            first.message + others, hint=first.hint, connection=first.connection, key=first.key
        ) from first

    # Threads and time

    def _spawn(self, name: str, work: Callable[[], T], then: Callable[[T], object]) -> None:
        def ended(end: Done[T] | Failed) -> None:
            self._in_background -= 1
            if isinstance(end, Failed):
                raise end.error
            then(end.value)

        self._in_background += 1
        self._loop.in_background(name, work, ended)

    def _wait_seconds(self) -> float | None:
        times = [
            self._events.read_at if self._events else None,
            self._ending.deadline if self._ending else None,
        ]
        if self._phase in (_Phase.WATCHING, _Phase.WALKING, _Phase.WAITING):
            times.append(self._dispatch.next_due())
        if self._phase is _Phase.WATCHING:
            times.append(self._reconciler.due)
            times.append(self._final_walk_at())
        if self._phase is _Phase.WAITING:
            times.append(self._again_at)
        if self._phase in (_Phase.WATCHING, _Phase.WAITING) and self._done_file:
            times.append(self._done_file.look_at)
        when = min((time for time in times if time is not None), default=None)
        return None if when is None else max(0.0, when - self._clock.monotonic())


def _hidden(options: Options) -> list[str]:
    """Directories below the outputs that are Lighterman's own."""
    hidden = [STATE_DIRECTORY]
    below = options.root.rstrip("/") + "/"
    if options.state.startswith(below):
        hidden.append(options.state.removeprefix(below))
    return hidden
