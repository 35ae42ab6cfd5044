"""
The lane of small files: one thread, many connections. Each file is copied into memory, shown to be one state, sent by
one request, and noted in the journal together with others. What isn't the usual answer, or the usual file, is left to
the threads, which know what it means.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.stores.channel import Channel, ConnectionFailedError
from lighterman.stores.heads import END, MOST_HEAD_BYTES, parsed
from lighterman.transfer.growth import Growth
from sidecar.attributes import attributes_of
from sidecar.loading import Directories
from sidecar.outgoing import Arrived, Ended, Handed, Loaded, Outgoing
from sidecar.states import RelPath, Synced, key_of
from sidecar.upload import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lighterman.clock import Clock
    from lighterman.stores.contract import Key
    from lighterman.stores.straight import Address, Straight
    from lighterman.transfer.budget import Budget
    from lighterman.transfer.pace import Pace
    from lighterman.transfer.tally import Tally
    from sidecar.journal import Journal
    from sidecar.loading import Glance
    from sidecar.loop import Loop

FILE_BYTES: Final = 1024 * 1024
"""Larger files go to the threads: copying and sending them is worth another core."""
FIRST_WIDTH: Final = 16
MOST_WIDTH: Final = 256
"""Connections. As init's: what is beyond brings little (measured at 20 ms a request)."""
MOST_HANDED: Final = 1024
"""Paths that the lane holds: enough that it never waits for the thread that decides."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Of bodies in memory at once, of the budget: enough for 800 MB/s at 20 ms a request."""
NOTED_AT_ONCE: Final = 200
"""Rows of one transaction: a fifth of a millisecond each alone, a fiftieth of that together."""
NOTED_AFTER_SECONDS: Final = 0.05
TURN_SECONDS: Final = 0.025
"""The longest wait while there is work: what was held back is looked at again."""
IDLE_SECONDS: Final = 15.0
"""Connections that nobody needs are closed then; the server's name is looked up anew after that."""
LOOK_SECONDS: Final = 1.0
"""How often stalled connections are looked for."""
MOST_UNUSUAL: Final = 64
"""So many answers in a row that weren't the usual one: then the threads go on alone for a while."""
REST_SECONDS: Final = 30.0
SLOW_DOWN: Final = frozenset({429, 503})
_ANSWER_BYTES: Final = 64 * 1024
_WRITE: Final = select.EPOLLIN | select.EPOLLOUT


class Ground(NamedTuple):
    """What the lane works on."""

    root: str
    """The real path of the outputs."""
    prefix: str
    journal: Journal
    straight: Straight
    is_adopted: Callable[[Key], bool]
    """Whether an object of that key may be the file's already, which reading the file would tell."""


class Lane:
    """
    Sends small files. ``hand`` and ``close`` are the main thread's; ``landed`` is called there, through the loop.
    A path is handed again only after its end was told.
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
        most: int = MOST_WIDTH,
    ) -> None:
        self._ground = ground
        self._loop = loop
        self._clock = clock
        self._pace = pace
        self._budget = budget
        self._tally = tally
        self._growth = Growth(FIRST_WIDTH, most)
        self._landed: Callable[[list[Ended]], object] | None = None
        self._thread: threading.Thread | None = None
        self._new: deque[Sequence[Handed]] = deque()
        self._is_halted = False
        self.busy = 0
        """Paths that were handed over and whose end wasn't told yet. The main thread's."""
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        # From here on the lane's own thread's.
        self._poll = select.epoll()
        self._poll.register(self._wake, select.EPOLLIN)
        self._buffer = memoryview(bytearray(_ANSWER_BYTES))
        self._directories = Directories(ground.root)
        self._line: deque[Handed] = deque()
        self._known: dict[RelPath, Synced] = {}
        self._addresses: list[Address] = []
        self._opened = 0
        self._all: dict[int, Outgoing] = {}
        self._idle: list[Outgoing] = []
        self._sending = 0
        self._sending_bytes = 0
        self._arrived: list[Arrived] = []
        self._arrived_at = 0.0
        self._ended: list[Ended] = []
        self._unusual = 0
        self._rests_until = 0.0

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
            os.eventfd_write(self._wake, 1)

    def halt(self) -> None:
        """What isn't sent yet is not sent, and nobody is told of it."""
        self._is_halted = True
        with contextlib.suppress(OSError):  # it ended, and is closed
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """``halt``, and wait a moment for its thread's end."""
        self.halt()
        if self._thread is None:
            self._let_go()
        else:
            self._thread.join(LOOK_SECONDS)

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
                self._drop_idle()
            for descriptor, event in events:
                outgoing = self._all.get(descriptor)
                if outgoing is not None:  # else one before it in this turn let it go
                    self._advance(outgoing, event, now)
                elif descriptor == self._wake:
                    os.eventfd_read(self._wake)
            now = self._clock.monotonic()
            self._growth.look(now, waited_seconds)
            if now - looked_at >= LOOK_SECONDS:
                looked_at = now
                self._cut_stalled(waited_until)
        self._account(now)

    def _patience(self) -> float | None:
        if self._sending or self._line:
            return TURN_SECONDS
        return IDLE_SECONDS if self._all else None

    def _take_in(self) -> None:
        while self._new:
            handed = self._new.popleft()
            self._known |= self._ground.journal.synced_of([each.path for each in handed])
            self._line.extend(handed)

    # Out

    def _fill(self, now: float) -> None:
        """Begin as many as there may be at once."""
        files = size_bytes = 0
        slot: int | None = None
        while self._line and self._sending < self._growth.width:
            if now < self._rests_until:
                self._leave(self._line.popleft())
                continue
            if slot is None:
                slot = self._pace.enter_now()
                if slot is None:
                    break
            loaded = self._next()
            if loaded is None:
                break
            if isinstance(loaded, Ended):
                self._ended.append(loaded)
                continue
            files, size_bytes = files + 1, size_bytes + len(loaded.body)
            if self._begin(loaded, slot, now):
                slot = None
        if slot is not None:
            self._pace.leave(slot)
        self._directories.close()
        if files:
            self._tally.planned(files, size_bytes)

    def _next(self) -> Loaded | Ended | None:
        """The first of the line, in memory or at its end; ``None`` where there is no room for it now."""
        handed = self._line[0]
        try:
            glance = self._directories.glance(handed.path)
        except OSError:  # the threads name it, or follow the link
            return self._left(self._line.popleft())
        if glance is None:
            return self._gone(self._line.popleft())
        try:
            key = key_of(self._ground.prefix, handed.path)
            outcome = self._look(glance, handed, key)
            if outcome is not None:
                self._line.popleft()
                return outcome
            size_bytes = glance.state.size_bytes
            if self._sending and self._sending_bytes + size_bytes > MOST_BYTES:
                return None
            if not self._budget.take_now(size_bytes):
                return None
            self._line.popleft()
            body = glance.read()
        finally:
            glance.close()
        if body is None:
            self._budget.give_back(size_bytes)
            return Ended(handed, Outcome(Result.CHANGED))
        self._known.pop(handed.path, None)
        return Loaded(handed, key, glance.state, body)

    def _look(self, glance: Glance, handed: Handed, key: Key) -> Ended | None:
        """Its end, where it isn't to be sent from here now."""
        path, state = handed.path, glance.state
        known = self._known.get(path)
        if known is not None and known.state == state and known.key == key:
            del self._known[path]
            return Ended(handed, Outcome(Result.UNCHANGED))
        if not glance.is_regular or state.size_bytes > FILE_BYTES or self._is_for_threads(path):
            return self._left(handed)
        if known is None and self._ground.is_adopted(key):
            return self._left(handed)
        wait_seconds = glance.rest_seconds(self._clock)
        if wait_seconds is None:
            return self._left(handed)
        if wait_seconds > 0:
            return Ended(handed, Outcome(Result.CHANGED, wait_seconds))
        if not handed.final and glance.is_being_written():
            return Ended(handed, Outcome(Result.OPEN))
        return None

    def _is_for_threads(self, path: RelPath) -> bool:
        if not path.isascii():
            try:
                path.encode()
            except UnicodeEncodeError:
                return True
        return self._ground.journal.open_upload(path) is not None

    def _gone(self, handed: Handed) -> Ended:
        if self._is_for_threads(handed.path):  # an upload by parts is to be abandoned
            return self._left(handed)
        self._known.pop(handed.path, None)
        return Ended(handed, Outcome(Result.GONE))

    def _left(self, handed: Handed) -> Ended:
        self._known.pop(handed.path, None)
        return Ended(handed, None)

    def _leave(self, handed: Handed) -> None:
        self._ended.append(self._left(handed))

    def _begin(self, loaded: Loaded, slot: int, now: float) -> bool:
        """Send it; false, and the slot is still the caller's, where that can't be."""
        try:
            attributes = attributes_of(loaded.handed.path, loaded.state)
            head = self._ground.straight.put(loaded.key, len(loaded.body), attributes)
        except LightermanError:  # whoever sends it is told the same, and what to do
            head = None
        outgoing = self._connection() if head is not None else None
        if head is None or outgoing is None:
            self._take_back(loaded)
            self._refuse(loaded.handed)
            return False
        outgoing.loaded, outgoing.since, outgoing.slowdowns_seen = loaded, now, slot
        outgoing.unsent = memoryview(head + loaded.body)
        self._sending += 1
        self._sending_bytes += len(loaded.body)
        if outgoing.channel.is_open:
            self._send(outgoing)
        return True

    def _connection(self) -> Outgoing | None:
        if self._idle:
            return self._idle.pop()
        way = self._ground.straight.way
        try:
            if not self._all:
                self._addresses = way.addresses()
            address = self._addresses[self._opened % len(self._addresses)]
            self._opened += 1
            channel = Channel(way, address)
        except OSError:
            if not self._all:  # there is no way at all: each attempt may take its time
                self._unusual = MOST_UNUSUAL
            return None
        outgoing = Outgoing(channel)
        self._all[channel.descriptor] = outgoing
        self._poll.register(channel.descriptor, select.EPOLLOUT)
        return outgoing

    def _send(self, outgoing: Outgoing) -> None:
        try:
            while outgoing.unsent:
                sent = outgoing.channel.send_some(outgoing.unsent)
                if not sent:
                    break
                outgoing.unsent = outgoing.unsent[sent:]
        except ConnectionFailedError:
            self._broken(outgoing)
            return
        if bool(outgoing.unsent) != outgoing.wants_write:
            outgoing.wants_write = bool(outgoing.unsent)
            wanted = _WRITE if outgoing.wants_write else select.EPOLLIN
            self._poll.modify(outgoing.channel.descriptor, wanted)

    # In

    def _advance(self, outgoing: Outgoing, event: int, now: float) -> None:
        channel = outgoing.channel
        outgoing.since = now
        try:
            if not channel.is_open:
                self._open_further(outgoing)
                return
            if event & select.EPOLLOUT and outgoing.unsent:
                self._send(outgoing)
                if event == select.EPOLLOUT:
                    return
            count = channel.receive(self._buffer)
            while count > 0:
                self._came(outgoing, self._buffer[:count])
                if channel.is_plain or outgoing.loaded is None:
                    return
                count = channel.receive(self._buffer)  # what TLS has decoded, no poll tells
        except ConnectionFailedError:
            count = 0
        if count == 0:
            self._broken(outgoing)

    def _open_further(self, outgoing: Outgoing) -> None:
        channel = outgoing.channel
        channel.open_further()
        if channel.is_open:
            outgoing.wants_write = True
            self._poll.modify(channel.descriptor, _WRITE)
            self._send(outgoing)
        else:
            wanted = select.EPOLLOUT if channel.wants_write else select.EPOLLIN
            self._poll.modify(channel.descriptor, wanted)

    def _came(self, outgoing: Outgoing, data: memoryview) -> None:
        loaded = outgoing.loaded
        if loaded is None:  # an answer to nothing
            self._drop(outgoing)
            return
        received = outgoing.received + bytes(data) if outgoing.received else bytes(data)
        outgoing.received = received
        end = received.find(END)
        if end < 0:
            if len(received) >= MOST_HEAD_BYTES:
                self._refused(outgoing, loaded)
            return
        head = parsed(received[: end + len(END)])
        etag = self._ground.straight.etag(head) if head is not None else None
        if head is None or head.status != 200 or etag is None or outgoing.unsent:
            is_slow_down = head is not None and head.status in SLOW_DOWN
            self._refused(outgoing, loaded, is_slow_down=is_slow_down)
            return
        came_bytes = len(received) - end - len(END)
        if came_bytes < head.length_bytes:
            return
        self._done(outgoing, loaded, Synced(loaded.state, loaded.key, etag))
        if head.keeps and came_bytes == head.length_bytes:
            outgoing.received, outgoing.is_used = b"", True
            self._idle.append(outgoing)
        else:
            self._drop(outgoing)

    def _done(self, outgoing: Outgoing, loaded: Loaded, synced: Synced) -> None:
        if not self._arrived:
            self._arrived_at = outgoing.since
        self._arrived.append(Arrived(loaded.handed, synced))
        self._unusual = 0
        self._growth.ended()
        self._give_back(outgoing, loaded, went_well=True)

    def _account(self, now: float) -> None:
        """Note what arrived, together, and tell what ended."""
        is_due = (
            len(self._arrived) >= NOTED_AT_ONCE
            or not self._sending
            or now - self._arrived_at >= NOTED_AFTER_SECONDS
        )
        if self._arrived and is_due:
            arrived, self._arrived = self._arrived, []
            self._note(arrived)
        if self._ended and self._landed is not None:
            ended, self._ended = self._ended, []
            self._loop.post(lambda: self._tell(ended))

    def _note(self, arrived: list[Arrived]) -> None:
        size_bytes = sum(each.synced.state.size_bytes for each in arrived)
        try:
            self._ground.journal.mark_synced([(each.handed.path, each.synced) for each in arrived])
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

    # What isn't usual

    def _broken(self, outgoing: Outgoing) -> None:
        """No more comes through it. One that was let go while it was idle says nothing of the next."""
        loaded, was_let_go = outgoing.loaded, outgoing.is_used and not outgoing.received
        if loaded is None:
            self._drop(outgoing)
        elif was_let_go:
            self._give_back(outgoing, loaded)
            self._tally.planned(-1, -len(loaded.body))
            self._drop(outgoing)
            self._line.append(loaded.handed)
        else:
            self._refused(outgoing, loaded)

    def _refused(self, outgoing: Outgoing, loaded: Loaded, *, is_slow_down: bool = False) -> None:
        """Another is to find out what it means."""
        self._give_back(outgoing, loaded, slowed_down=is_slow_down)
        self._tally.planned(-1, -len(loaded.body))
        self._drop(outgoing)
        self._refuse(loaded.handed)

    def _refuse(self, handed: Handed) -> None:
        self._unusual += 1
        if self._unusual >= MOST_UNUSUAL:
            self._unusual = 0
            self._rests_until = self._clock.monotonic() + REST_SECONDS
        get_logger().debug("sidecar.file_left", path=handed.path, in_a_row=self._unusual)
        self._leave(handed)

    def _take_back(self, loaded: Loaded) -> None:
        self._budget.give_back(len(loaded.body))
        self._tally.planned(-1, -len(loaded.body))

    def _give_back(
        self,
        outgoing: Outgoing,
        loaded: Loaded,
        *,
        slowed_down: bool = False,
        went_well: bool = False,
    ) -> None:
        self._pace.leave(outgoing.slowdowns_seen, slowed_down=slowed_down, went_well=went_well)
        self._budget.give_back(len(loaded.body))
        self._sending -= 1
        self._sending_bytes -= len(loaded.body)
        outgoing.loaded, outgoing.unsent = None, memoryview(b"")

    def _cut_stalled(self, now: float) -> None:
        way = self._ground.straight.way
        for outgoing in list(self._all.values()):
            loaded = outgoing.loaded
            patience = way.stall_seconds if outgoing.channel.is_open else way.connect_seconds
            if loaded is not None and now - outgoing.since > patience:
                get_logger().warning("sidecar.stalled", key=loaded.key, seconds=round(patience, 3))
                self._refused(outgoing, loaded)

    def _drop_idle(self) -> None:
        for outgoing in list(self._idle):
            self._drop(outgoing)

    def _drop(self, outgoing: Outgoing) -> None:
        if outgoing in self._idle:
            self._idle.remove(outgoing)
        if self._all.pop(outgoing.channel.descriptor, None) is not None:
            with contextlib.suppress(OSError):  # a handshake that failed may have closed it
                self._poll.unregister(outgoing.channel.descriptor)
            outgoing.channel.close()

    def _let_go(self) -> None:
        for outgoing in list(self._all.values()):
            loaded = outgoing.loaded
            if loaded is not None:
                self._give_back(outgoing, loaded)
                self._tally.planned(-1, -len(loaded.body))
            self._drop(outgoing)
        self._directories.close()
        self._poll.close()
        os.close(self._wake)
