"""
The sidecar's life: start, watch, and the end, in which everything is sent, compared with a listing,
and, where deletes are mirrored, what is gone is deleted.

All decisions are made in one thread, in ``run``; what waits or carries bytes works in others.
"""

import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Final, TypeVar

from lighterman.clock import Clock
from lighterman.errors import DeadlineError, LightermanError
from lighterman.log import get_logger
from lighterman.stores.contract import Store
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar import ready_mark
from sidecar.ending import Main, MainsEnd
from sidecar.journal import Journal
from sidecar.loop import Done, Failed, Loop
from sidecar.options import Options
from sidecar.rebuild import verify_listing
from sidecar.rig import Rig
from sidecar.states import RelPath, key_of, printable
from sidecar.verdicts import first_of, not_listed, too_late
from sidecar.watched_process import WatchedProcess

MOST_LISTINGS: Final = 3
"""A store that still lacks what it took, so often listed, isn't one to trust."""
MOST_NAMED: Final = 1000
ROOT_GONE_SECONDS: Final = 1.0
"""How often an outputs path that went away is looked for."""


T = TypeVar("T")


class _Phase(Enum):
    STARTING = auto()
    WATCHING = auto()
    WALKING = auto()
    """The final walk is under way, or what it found is being sent."""
    LISTING = auto()
    WAITING = auto()
    """All that was there is in the bucket, and main may still write."""
    DELETING = auto()
    PUBLISHING = auto()
    """The last manifests, and the marker."""
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
        told: threading.Event | None,
        main: Main | None = None,
        process: WatchedProcess | None = None,
        end: MainsEnd | None = None,
        pace: Pace | None = None,
        budget: Budget | None = None,
    ) -> None:
        """
        ``told`` is set when a signal to stop came before this could listen to them; ``None`` where signals
        are another's affair. ``pace``, ``budget`` and ``end`` are given where they are shared with others.
        """
        self._options = options
        self._journal = journal
        self._loop = loop
        self._clock = clock
        self._tally = tally
        self._end = end or MainsEnd(options, clock, main, loop=loop, process=process)
        self._told = told
        rig = Rig(
            options,
            store,
            journal,
            loop=loop,
            settings=settings,
            clock=clock,
            tally=tally,
            device=device,
            end=self._end,
            pace=pace,
            budget=budget,
        )
        self._store = rig.store
        self._stop = rig.stop
        self._settle = rig.settle
        self._attempts = rig.attempts
        self._uploader = rig.uploader
        self._pool = rig.pool
        self._lane = rig.lane
        self._dispatch = rig.dispatch
        self._events = rig.events
        self._reconciler = rig.reconciler
        self._deletes = rig.deletes
        self._publishing = rig.publishing
        self.board = rig.board
        """What is known of all this."""
        self._phase = _Phase.STARTING
        self._is_over = False
        self._listings = 0
        self._in_background = 0
        self._raised: BaseException | None = None

    def run(self) -> None:
        """
        Until everything of the final walk is in the bucket. Raises the first failure that stayed, or
        ``DeadlineError`` when the grace was over before, or a second SIGTERM came.
        """
        if self._told is not None:
            self._end.listen(self._told)
        self.begin()
        readable: set[int] = set()
        while not self.step(readable):
            readable = self._loop.turn(self.wait_seconds())

    def begin(self) -> None:
        """Start; ``step`` goes on with it."""
        self._spawn("start", self._begin, self._begun)

    def step(self, readable: set[int]) -> bool:
        """After a turn of the loop: decide what is next. True when all is over; raises as ``run`` does."""
        self._decide(readable)
        self.board.pump(self._phase.name.lower())
        if self._phase is not _Phase.OVER:
            return False
        if self._is_dropped:
            return True
        self._raise_failures()
        get_logger().info(
            "sidecar.drained", path=self._options.root, files=self._tally.totals().files
        )
        return True

    @property
    def path(self) -> str:
        """The outputs path."""
        return self._options.root

    @property
    def is_ending(self) -> bool:
        """Whether main's end is known, or a signal began it."""
        return self._is_over or self._end.ending is not None

    @property
    def end(self) -> MainsEnd:
        """Main's, for whoever goes on after this."""
        return self._end

    @property
    def is_stuck(self) -> bool:
        """Whether threads are still at work, for whom nobody should wait."""
        is_lane_stuck = self._lane is not None and self._lane.is_stuck
        return bool(self._pool.busy or self._in_background or is_lane_stuck)

    def close(self) -> None:
        """Let go of the watches and of what waits for another attempt."""
        self._halt()
        ready_mark.withdraw(self._options.state)
        if self._lane is not None:
            self._lane.close()
        self._reconciler.abandon()
        if self._events:
            self._events.close()
        if not self.is_stuck:
            self._uploader.close()

    # Start

    def _begin(self) -> None:
        """In the background: the watches; then credentials, bucket and what a killed process left."""
        if self._events:
            is_inside = self._options.state.startswith(self._options.root.rstrip("/") + "/")
            self._events.begin(self._options.state if is_inside else self._options.root)
            ready_mark.leave(self._options.state)
        prefix = f"{self._options.prefix}/" if self._options.prefix else ""
        self._attempts.call(f"list {prefix}", lambda: next(iter(self._store.pages(prefix)), None))
        if self._options.on_conflict == "fail":
            from sidecar.promises import require

            require(self._store, self._options.prefix, self._attempts)
        self._uploader.recover()
        if self._journal.fresh:
            self._uploader.adopt(self._options.marker)
        self._publishing.recall()

    def _begun(self, _: None) -> None:
        if self._events and self._end.done_file:
            self._end.done_file.watch(self._events.watch_elsewhere)
        get_logger().info(
            "sidecar.started",
            path=self._options.root,
            connection=self._store.connection,
            prefix=self._options.prefix,
        )
        self._phase = _Phase.WATCHING
        if self._end.main and not self._end.main.ended:
            self._end.main.start()
        if not self._options.once:
            self._reconciler.start(final=False)

    # The loop's turn

    def _decide(self, readable: set[int]) -> None:
        if self._events:
            self._events.pump(readable, may_look=self._may_look)
        if raised := self._raised or self._dispatch.bug:
            raise raised
        now = self._clock.monotonic()
        if self._end.stop_now or (self._end.ending and now >= self._end.ending.deadline):
            raise self._out_of_time()
        if self._phase is _Phase.STARTING:
            return
        if self._is_dropped:
            self._drop()
            return
        if not self._is_over and self._end.is_over(now, self._walk_seconds):
            self._is_over = True
            self._drain()
        has_walked = self._reconciler.pump()
        self._dispatch.pump()
        self._publishing.pump()
        if has_walked:
            self._after_walk()
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        match self._phase:
            case _Phase.WATCHING:
                self._keep_watching(now)
            case _Phase.WALKING:
                self._finish_sending()
            case _Phase.WAITING if self._is_over and not self._end.is_main_running:
                self._walk_again()
            case _Phase.DELETING if not self._pool.busy:
                self._publish(is_whole=not self._deletes.failed)
            case _Phase.PUBLISHING if self._publishing.is_over():
                self._phase = _Phase.OVER

    @property
    def _may_look(self) -> bool:
        """A walk finds what a look would."""
        is_between_walks = self._phase in (_Phase.WATCHING, _Phase.WAITING)
        return is_between_walks and not self._reconciler.is_walking

    @property
    def _walk_seconds(self) -> float:
        return self._reconciler.last.seconds if self._reconciler.last else 0.0

    def _keep_watching(self, now: float) -> None:
        final_walk_at = self._end.final_walk_at(self._walk_seconds)
        if final_walk_at is not None and now >= final_walk_at:
            self._drain()
            return
        if self._events and self._events.lost and not self._reconciler.is_walking:
            self._events.lost = False
            self._reconciler.hasten(ROOT_GONE_SECONDS if self._events.root_gone else 0.0)
            self._events.root_gone = False
        if self._settle.overflowed and self._settle.has_room:
            self._settle.overflowed = False
            self._reconciler.hasten()
        if self._reconciler.due is not None and now >= self._reconciler.due:
            self._reconciler.start(final=False)
        if self._dispatch.idle and not len(self._settle):
            self._deletes.go()

    def _after_walk(self) -> None:
        self._publishing.walked()
        walked = self._reconciler.last
        assert walked is not None  # noqa: S101 - a walk has just ended
        if self._options.deletes == "mirror":
            self._deletes.note(walked)
        if RelPath("") in walked.unreadable and self._phase is _Phase.WATCHING:
            self._reconciler.hasten(ROOT_GONE_SECONDS)
        if self._phase is _Phase.WALKING:
            self._dispatch.end_of_walk()
            self._dispatch.pump()
        if self._events:
            self._events.walked()

    # The drain

    def _drain(self) -> None:
        """Everything is sent as it is. Once the end is known, what happens later doesn't count."""
        get_logger().info("sidecar.draining", path=self._options.root, known=len(self._settle))
        if self._events:
            self._events.read()
            if self._is_over:
                self._events.stop()
        self._publishing.drain()
        self._dispatch.drain(keeps_whole=not self._end.is_known)
        self._walk_again()

    def _walk_again(self) -> None:
        self._phase = _Phase.WALKING
        self._deletes.walk_begins()
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
        sent_before = self._tally.totals().files
        self._spawn("verify", self._verify, lambda missing: self._verified(missing, sent_before))

    def _verify(self) -> list[RelPath]:
        return self._attempts.call(
            f"list {self._options.prefix}",
            lambda: verify_listing(self._store, self._options.prefix, self._journal),
        )

    def _verified(self, missing: list[RelPath], sent_before: int) -> None:
        if self._phase is not _Phase.LISTING:  # the end came meanwhile, and walks again
            return
        if missing and self._tally.totals().files == sent_before:  # else it may be younger
            self._listings += 1
        if missing and self._listings >= MOST_LISTINGS:
            for path in missing[:MOST_NAMED]:
                self._name_missing(path, "not_listed", "the store took it and doesn't list it")
            raise not_listed(self._options, self._store.connection, missing)
        if missing:
            get_logger().warning("sidecar.listing_differs", files=len(missing))
            self._walk_again()
        elif self._deletes.needs_another_walk:
            self._walk_again()
        else:
            self._conclude()

    def _conclude(self) -> None:
        """All is done that can be. Main may still write, if nothing told of its end."""
        if not self._is_over or self._end.is_main_running:
            self._phase = _Phase.WAITING
        elif self._dispatch.failed:
            self._publish(is_whole=False)
        else:
            self._phase = _Phase.DELETING
            self._deletes.go()

    def _publish(self, *, is_whole: bool) -> None:
        self._phase = _Phase.PUBLISHING
        self._publishing.finish(is_whole=is_whole)
        if self._publishing.is_over():
            self._phase = _Phase.OVER

    @property
    def _is_dropped(self) -> bool:
        """Whether what main left isn't wanted here, since it failed."""
        return self._options.drops_failed and self._end.has_failed

    def _drop(self) -> None:
        """Nothing more is begun. What is under way may still arrive, whole."""
        self._halt()
        if self._events:
            self._events.read()
            self._events.stop()
        get_logger().warning(
            "sidecar.dropped", path=self._options.root, known=len(self._dispatch.missing())
        )
        self._phase = _Phase.OVER

    def _halt(self) -> None:
        self._stop.set()
        self._pool.halt()
        if self._lane is not None:
            self._lane.halt()

    def _out_of_time(self) -> LightermanError:
        self._halt()
        is_main_running = self._end.is_main_running
        if self._end.main:
            self._end.main.kill()
        missing = self._dispatch.missing()
        for path in missing[:MOST_NAMED]:
            self._name_missing(path, DeadlineError.kind, "not in the bucket when time was over")
        self._tally.close()
        is_publishing = self._phase is _Phase.PUBLISHING
        return too_late(
            self._options,
            self._store.connection,
            missing,
            otherwise="the manifests not written"
            if is_publishing
            else "the check against the listing not done",
            is_told_now=self._end.stop_now,
            is_main_running=is_main_running,
            is_walking=self._reconciler.is_walking,
        )

    def _name_missing(self, path: RelPath, kind: str, message: str) -> None:
        if path not in self._dispatch.failed:
            key = key_of(self._options.prefix, RelPath(printable(path)))
            self._tally.failed(key, kind, message)

    def _raise_failures(self) -> None:
        failed = {**self._dispatch.failed, **self._deletes.failed, **self._publishing.failed}
        if failed:
            raise first_of(failed) from next(iter(failed.values()))

    # Threads and time

    def _spawn(self, name: str, work: Callable[[], T], then: Callable[[T], object]) -> None:
        def ended(end: Done[T] | Failed) -> None:
            self._in_background -= 1
            if isinstance(end, Failed):
                self._raised = self._raised or end.error
            else:
                then(end.value)

        self._in_background += 1
        self._loop.in_background(name, work, ended)

    def wait_seconds(self) -> float | None:
        """How long the loop may wait for something to happen before the next ``step``; ``None``: for ever."""
        end = self._end
        times = [end.ending.deadline if end.ending else None, self.board.due]
        if self._events:
            times.append(self._events.next_at(may_look=self._may_look))
        if self._phase not in (_Phase.STARTING, _Phase.OVER):
            times += [self._dispatch.next_due(), self._publishing.next_due()]
        if self._phase is _Phase.WATCHING:
            times += [self._reconciler.due, end.final_walk_at(self._walk_seconds)]
        if not self._is_over and self._phase is not _Phase.STARTING:
            times.append(end.last_walk_at(self._walk_seconds))
            times.append(end.look_at)
        when = min((time for time in times if time is not None), default=None)
        return None if when is None else max(0.0, when - self._clock.monotonic())
