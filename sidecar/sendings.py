"""
The lane's connections: each takes one file at a time, whole, and brings its answer. What isn't the usual answer is
left, for who knows what it means.
"""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, Final

from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.stores.channel import Channel, ConnectionFailedError
from lighterman.stores.heads import END, MOST_HEAD_BYTES, parsed
from lighterman.transfer.growth import Growth
from sidecar.attributes import attributes_of
from sidecar.outgoing import Arrived, Loaded, Outgoing
from sidecar.states import Synced

if TYPE_CHECKING:
    from lighterman.clock import Clock
    from lighterman.stores.straight import Address, Straight
    from lighterman.transfer.budget import Budget
    from lighterman.transfer.pace import Pace

FIRST_WIDTH: Final = 16
MOST_UNUSUAL: Final = 64
"""So many answers in a row that weren't the usual one: then the threads go on alone for a while."""
REST_SECONDS: Final = 30.0
SLOW_DOWN: Final = frozenset({429, 503})
_ANSWER_BYTES: Final = 64 * 1024
_WRITE: Final = select.EPOLLIN | select.EPOLLOUT


class Sendings:
    """
    What is under way to one store. ``poll`` tells when to ``advance`` which descriptor; what came of each file is in
    ``arrived``, ``left`` and ``again``, from which the caller takes it.
    """

    def __init__(
        self,
        straight: Straight,
        poll: select.epoll,
        *,
        clock: Clock,
        pace: Pace,
        budget: Budget,
        most: int,
    ) -> None:
        self._straight = straight
        self._poll = poll
        self._clock = clock
        self._pace = pace
        self._budget = budget
        self._growth = Growth(FIRST_WIDTH, most)
        self._buffer = memoryview(bytearray(_ANSWER_BYTES))
        self._addresses: list[Address] = []
        self._opened = 0
        self._all: dict[int, Outgoing] = {}
        self._idle: list[Outgoing] = []
        self._unusual = 0
        self._rests_until = 0.0
        self.count = 0
        """Files under way."""
        self.size_bytes = 0
        """Their bytes, which are in memory."""
        self.arrived: list[Arrived] = []
        self.arrived_at = 0.0
        """When the first of them did."""
        self.left: list[Loaded] = []
        """Those that another is to send."""
        self.again: list[Loaded] = []
        """Those whose connection had been let go before it was used for them."""

    @property
    def has_room(self) -> bool:
        """Whether more may be under way."""
        return self.count < self._growth.width

    @property
    def has_connections(self) -> bool:
        """Whether there are any, idle ones too."""
        return bool(self._all)

    def rests(self, now: float) -> bool:
        """Whether the threads go on alone for now."""
        return now < self._rests_until

    def look(self, now: float, waited_seconds: float) -> None:
        """Take more at once, if that is worth it (see :meth:`Growth.look`)."""
        self._growth.look(now, waited_seconds)

    # Out

    def begin(self, loaded: Loaded, slot: int, now: float) -> bool:
        """Send it; false, and the slot is still the caller's, where that can't be: then it is left."""
        try:
            attributes = attributes_of(loaded.handed.path, loaded.state)
            head = self._straight.put(loaded.key, len(loaded.body), attributes)
        except LightermanError:  # whoever sends it is told the same, and what to do
            head = None
        outgoing = self._connection() if head is not None else None
        if head is None or outgoing is None:
            self._budget.give_back(loaded.state.size_bytes)
            self._refuse(loaded)
            return False
        outgoing.unsent = memoryview(head + loaded.body)
        # Its bytes are in memory once.
        outgoing.loaded = loaded._replace(body=b"")
        outgoing.since, outgoing.slowdowns_seen = now, slot
        self.count += 1
        self.size_bytes += loaded.state.size_bytes
        if outgoing.channel.is_open:
            self._send(outgoing)
        return True

    def _connection(self) -> Outgoing | None:
        if self._idle:
            return self._idle.pop()
        way = self._straight.way
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

    def advance(self, descriptor: int, event: int, now: float) -> None:
        """Go on with the connection of that descriptor, if it is still one."""
        outgoing = self._all.get(descriptor)
        if outgoing is None:  # one before it in this turn let it go
            return
        channel, outgoing.since = outgoing.channel, now
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
        received = outgoing.received = outgoing.received + bytes(data)
        end = received.find(END)
        if end < 0:
            if len(received) >= MOST_HEAD_BYTES:
                self._refused(outgoing, loaded)
            return
        head = parsed(received[: end + len(END)])
        etag = self._straight.etag(head) if head is not None else None
        if head is None or head.status != 200 or etag is None or outgoing.unsent:
            is_slow_down = head is not None and head.status in SLOW_DOWN
            self._refused(outgoing, loaded, is_slow_down=is_slow_down)
            return
        came_bytes = len(received) - end - len(END)
        if came_bytes < head.length_bytes:
            return
        if not self.arrived:
            self.arrived_at = outgoing.since
        self.arrived.append(
            Arrived(loaded.handed, Synced(loaded.state, loaded.key, etag, crc32c=loaded.crc32c))
        )
        self._unusual = 0
        self._growth.ended()
        self._give_back(outgoing, loaded, went_well=True)
        if head.keeps and came_bytes == head.length_bytes:
            outgoing.received, outgoing.is_used = b"", True
            self._idle.append(outgoing)
        else:
            self._drop(outgoing)

    # What isn't usual

    def cut_stalled(self, now: float) -> None:
        """Let go of connections on which nothing went on for too long."""
        way = self._straight.way
        for outgoing in list(self._all.values()):
            loaded = outgoing.loaded
            patience = way.stall_seconds if outgoing.channel.is_open else way.connect_seconds
            if loaded is not None and now - outgoing.since > patience:
                get_logger().warning("sidecar.stalled", key=loaded.key, seconds=round(patience, 3))
                self._refused(outgoing, loaded)

    def drop_idle(self) -> None:
        """Let go of connections that nobody needs."""
        for outgoing in list(self._idle):
            self._drop(outgoing)

    def close(self) -> None:
        """Let go of all; what was under way is in ``left``."""
        for outgoing in list(self._all.values()):
            loaded = outgoing.loaded
            if loaded is not None:
                self._give_back(outgoing, loaded)
                self.left.append(loaded)
            self._drop(outgoing)

    def _broken(self, outgoing: Outgoing) -> None:
        """No more comes through it. One that was let go while it was idle says nothing of the next."""
        loaded, was_let_go = outgoing.loaded, outgoing.is_used and not outgoing.received
        if loaded is None:
            self._drop(outgoing)
        elif was_let_go:
            self._give_back(outgoing, loaded)
            self._drop(outgoing)
            self.again.append(loaded)
        else:
            self._refused(outgoing, loaded)

    def _refused(self, outgoing: Outgoing, loaded: Loaded, *, is_slow_down: bool = False) -> None:
        """Another is to find out what it means."""
        self._give_back(outgoing, loaded, slowed_down=is_slow_down)
        self._drop(outgoing)
        self._refuse(loaded)

    def _refuse(self, loaded: Loaded) -> None:
        self._unusual += 1
        get_logger().debug("sidecar.file_left", key=loaded.key, in_a_row=self._unusual)
        if self._unusual >= MOST_UNUSUAL:
            self._unusual = 0
            self._rests_until = self._clock.monotonic() + REST_SECONDS
        self.left.append(loaded)

    def _give_back(
        self,
        outgoing: Outgoing,
        loaded: Loaded,
        *,
        slowed_down: bool = False,
        went_well: bool = False,
    ) -> None:
        self._pace.leave(outgoing.slowdowns_seen, slowed_down=slowed_down, went_well=went_well)
        self._budget.give_back(loaded.state.size_bytes)
        self.count -= 1
        self.size_bytes -= loaded.state.size_bytes
        outgoing.loaded, outgoing.unsent = None, memoryview(b"")

    def _drop(self, outgoing: Outgoing) -> None:
        if outgoing in self._idle:
            self._idle.remove(outgoing)
        if self._all.pop(outgoing.channel.descriptor, None) is not None:
            with contextlib.suppress(OSError):  # a handshake that failed may have closed it
                self._poll.unregister(outgoing.channel.descriptor)
            outgoing.channel.close()
