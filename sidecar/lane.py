"""
The lane of small files: one thread, many connections. Each file is copied into memory, shown to be one state, sent by
one request, and noted in the journal together with others. What isn't the usual file, or the usual answer, is left to
the threads, which know what it means.
"""

from __future__ import annotations

import os
import resource
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from lighterman.errors import LightermanError
from sidecar.loading import Ground, Loader
from sidecar.outgoing import Arrived, Ended, Handed, Loaded
from sidecar.sendings import Sendings
from sidecar.upload import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lighterman.clock import Clock
    from lighterman.stores.contract import Store
    from lighterman.transfer.budget import Budget
    from lighterman.transfer.pace import Pace
    from lighterman.transfer.tally import Tally
    from sidecar.journal import Journal
    from sidecar.leases import Leases
    from sidecar.loop import Loop
    from sidecar.states import RelPath, Synced
    from sidecar.upload import Uploader

MOST_HANDED: Final = 1024
"""Paths that the lane holds: enough that it never waits for the thread that decides."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of bodies in memory at once, of the budget: enough for 800 MB/s at 20 ms a request."""
NOTED_AT_ONCE: Final = 200
"""Rows of one transaction (measured: 200 together take a tenth of what each takes alone)."""
NOTED_AFTER_SECONDS: Final = 0.05
"""The longest that a file that arrived waits for others to be noted with."""
TURN_SECONDS: Final = 0.025
"""The longest wait while there is work: what was held back is looked at again."""
IDLE_SECONDS: Final = 15.0
"""Connections that nobody needs are closed then; the server's name is looked up anew after that."""
OTHER_DESCRIPTORS: Final = 128
LOOK_SECONDS: Final = 1.0
"""How often stalled connections are looked for."""


def lane_to(
    store: Store,
    uploader: Uploader,
    journal: Journal,
    loop: Loop,
    *,
    root: str,
    prefix: str,
    clock: Clock,
    pace: Pace,
    budget: Budget,
    tally: Tally,
    leases: Leases,
    may_send: Callable[[], bool],
    most: int,
) -> Lane | None:
    """
    A lane of at most so many connections, where the store can be written to straight. It is handed something
    only while ``may_send``.
    """
    straight = store.straight()
    if straight is None:
        return None
    ground = Ground(root, prefix, journal, straight, uploader.may_be_there, leases)
    most = min(most, _most_connections())
    lane = Lane(ground, loop, clock=clock, pace=pace, budget=budget, tally=tally, most=most)
    lane.may_send = may_send
    return lane


def _most_connections() -> int:
    """Half of the descriptors that this process may have, beside those that its threads and the watch need."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - OTHER_DESCRIPTORS) // 2)


class Lane:
    """
    Sends small files. ``start``, ``hand`` and ``close`` are the main thread's; what ``start`` is given is called there,
    through the loop. A path is handed again only after its end was told.
    """

    def __init__(
        self,
        ground: Ground,
        loop: Loop,
        *,
        clock: Clock,
        pace: Pace,
        budget: Budget,
        tally: Tally,
        most: int,
    ) -> None:
        self._journal = ground.journal
        self._loop = loop
        self._clock = clock
        self._pace = pace
        self._tally = tally
        self._landed: Callable[[list[Ended]], object] | None = None
        self._thread: threading.Thread | None = None
        self._new: deque[Sequence[Handed]] = deque()
        self._is_halted = self._is_closed = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        self._loader = Loader(ground, clock, budget)
        self._sendings = Sendings(
            ground.straight, self._poll, clock=clock, pace=pace, budget=budget, most=most
        )
        self._line: deque[Handed] = deque()
        self._known: dict[RelPath, Synced] = {}
        self._ended: list[Ended] = []
        self.may_send: Callable[[], bool] = lambda: True
        """Whether it may be handed anything now."""
        self.busy = 0
        """Paths that were handed over and whose end wasn't told yet. The main thread's."""

    # The main thread's

    @property
    def free(self) -> int:
        """How many paths it takes now."""
        return MOST_HANDED - self.busy

    @property
    def is_stuck(self) -> bool:
        """Whether its thread is still at work."""
        return self._thread is not None and self._thread.is_alive() and self.busy > 0

    def start(self, landed: Callable[[list[Ended]], object]) -> None:
        """``landed`` is told what became of what was handed over. The thread starts with the first paths."""
        self._landed = landed

    def hand(self, paths: Sequence[Handed]) -> None:
        """Send these, each as it is when its turn comes."""
        self.busy += len(paths)
        self._new.append(paths)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lane", daemon=True)
            self._thread.start()
        else:
            self._rouse()

    def halt(self) -> None:
        """What isn't sent yet is not sent, and nobody is told of it."""
        self._is_halted = True
        self._rouse()

    def close(self) -> None:
        """``halt``, and wait a moment for its thread's end."""
        if self._is_closed:
            return
        self.halt()
        if self._thread is None:
            self._let_go()
        else:
            self._thread.join(LOOK_SECONDS)
            if self._thread.is_alive():  # it still listens to what wakes it
                return
        self._is_closed = True
        os.close(self._wake)

    def _rouse(self) -> None:
        if not self._is_closed:
            os.eventfd_write(self._wake, 1)

    # The lane's thread

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            raised = error

            def fail() -> None:
                raise raised

            self._loop.post(fail)
        finally:
            self._let_go()

    def _serve(self) -> None:
        looked_at = now = self._clock.monotonic()
        waited_seconds = 0.0
        while not self._is_halted:
            self._take_in()
            self._fill(now)
            self._account(now)
            patience = self._patience()
            events = self._poll.poll(patience)
            waited_until = self._clock.monotonic()
            waited_seconds += waited_until - now
            now = waited_until
            if not events and patience == IDLE_SECONDS:
                self._sendings.drop_idle()
            for descriptor, event in events:
                if descriptor == self._wake:
                    os.eventfd_read(self._wake)
                else:
                    self._sendings.advance(descriptor, event, now)
            now = self._clock.monotonic()
            self._sendings.look(now, waited_seconds)
            if now - looked_at >= LOOK_SECONDS:
                looked_at = now
                self._sendings.cut_stalled(waited_until)
        self._account(now)

    def _patience(self) -> float | None:
        if self._sendings.count or self._line:
            return TURN_SECONDS
        return IDLE_SECONDS if self._sendings.has_connections else None

    def _take_in(self) -> None:
        while self._new:
            self._line_up(self._new.popleft())

    def _line_up(self, handed: Sequence[Handed]) -> None:
        """With what the journal has of them, which decides too."""
        try:
            self._known |= self._journal.synced_of([each.path for each in handed])
        except LightermanError:  # the threads say so, file by file
            self._ended += [Ended(each, None) for each in handed]
        else:
            self._line.extend(handed)

    def _fill(self, now: float) -> None:
        """Begin as many as there may be at once."""
        files = size_bytes = 0
        slot: int | None = None
        while self._line and self._sendings.has_room:
            if self._sendings.rests(now):
                self._leave(self._line.popleft())
                continue
            if slot is None:
                slot = self._pace.enter_now()
                if slot is None:
                    break
            came = self._next()
            if came is None:
                break
            if isinstance(came, Loaded):
                files, size_bytes = files + 1, size_bytes + came.state.size_bytes
                if self._sendings.begin(came, slot, now):
                    slot = None
            else:
                self._ended.append(came)
        if slot is not None:
            self._pace.leave(slot)
        self._loader.close()
        if files:
            self._tally.planned(files, size_bytes)

    def _next(self) -> Loaded | Ended | None:
        """The first of the line, in memory or at its end; ``None`` where there is no room for it now."""
        handed = self._line[0]
        room_bytes = max(MOST_BYTES - self._sendings.size_bytes, 0)
        try:
            came = self._loader.load(handed, self._known.get(handed.path), room_bytes)
        except LightermanError:  # of the journal: the threads say so
            came = Ended(handed, None)
        if came is not None:
            self._line.popleft()
            self._known.pop(handed.path, None)
        return came

    def _leave(self, handed: Handed) -> None:
        self._known.pop(handed.path, None)
        self._ended.append(Ended(handed, None))

    def _account(self, now: float) -> None:
        """Note what arrived, together, and tell what ended."""
        sendings = self._sendings
        for loaded in sendings.left:
            self._tally.planned(-1, -loaded.state.size_bytes)
            self._leave(loaded.handed)
        for loaded in sendings.again:
            self._tally.planned(-1, -loaded.state.size_bytes)
        if sendings.again:
            self._line_up([loaded.handed for loaded in sendings.again])
        sendings.left, sendings.again = [], []
        is_due = (
            len(sendings.arrived) >= NOTED_AT_ONCE
            or not sendings.count
            or now - sendings.arrived_at >= NOTED_AFTER_SECONDS
        )
        if sendings.arrived and is_due:
            arrived, sendings.arrived = sendings.arrived, []
            self._note(arrived)
        if self._ended and self._landed is not None:
            ended, self._ended = self._ended, []
            self._loop.post(lambda: self._tell(ended))

    def _note(self, arrived: list[Arrived]) -> None:
        size_bytes = sum(each.synced.state.size_bytes for each in arrived)
        try:
            self._journal.mark_synced([(each.handed.path, each.synced) for each in arrived])
        except LightermanError:  # a full disk: the threads say so, file by file
            self._tally.planned(-len(arrived), -size_bytes)
            for each in arrived:
                self._leave(each.handed)
            return
        self._tally.carried(size_bytes)
        self._tally.done(len(arrived))
        sent = Outcome(Result.SENT)
        self._ended += [Ended(each.handed, sent) for each in arrived]

    def _tell(self, ended: list[Ended]) -> None:
        """In the main thread."""
        self.busy -= len(ended)
        if self._landed is not None:
            self._landed(ended)

    def _let_go(self) -> None:
        self._sendings.close()
        for loaded in self._sendings.left:
            self._tally.planned(-1, -loaded.state.size_bytes)
        self._loader.close()
        self._poll.close()
