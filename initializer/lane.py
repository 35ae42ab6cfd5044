"""
The lane of small files: one thread, many connections, and for each file a request, a file that is written as
its bytes come, and a rename. What isn't the usual answer is left to the threads, which know what it means.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from initializer import place
from initializer.incoming import Incoming
from lighterman.checksums import MD5, algorithm_of, checksum, new_sum
from lighterman.errors import LightermanError
from lighterman.log import get_logger
from lighterman.stores.channel import Channel, ConnectionFailedError
from lighterman.stores.heads import END, MOST_HEAD_BYTES, parsed
from lighterman.transfer.growth import Growth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from initializer.fetch import Fetcher
    from initializer.plan import Fetch
    from lighterman.stores.heads import Head
    from lighterman.stores.straight import Address, Straight
    from lighterman.transfer.pace import Pace

FILE_BYTES: Final = 1024 * 1024
"""Larger files go to the threads: their sums are worth another core."""
FIRST_WIDTH: Final = 16
PIECE_BYTES: Final = 256 * 1024
TURN_SECONDS: Final = 0.025
"""The longest wait, so that a stop is heard and what was held back is looked at again."""
MOST_UNUSUAL: Final = 64
"""So many answers in a row that weren't the usual one: then this lane isn't the way to this store."""
LOOK_SECONDS: Final = 1.0
"""How often stalled connections are looked for."""
SLOW_DOWN: Final = frozenset({429, 503})
_md5: Final = hashlib.md5  # by its own name: new() looks it up each time


class Line(Protocol):
    """The files that are to be fetched, one after the other."""

    @property
    def is_over(self) -> bool:
        """Whether no more will come."""
        ...

    def next(self) -> Fetch | None:
        """The next file; ``None``: none now."""
        ...


class Reading(NamedTuple):
    """How one store is read straight: its server's addresses, and the pace that all its transfers share."""

    straight: Straight
    addresses: Sequence[Address]
    pace: Pace


class Lane:
    """
    Fetches the files of ``line`` that are read straight; ``leave`` takes those that another is to fetch.
    ``readings`` has, for each store, how it is read.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        readings: Sequence[Reading | None],
        line: Line,
        *,
        leave: Callable[[Fetch], None],
        is_halted: Callable[[], bool],
        most: int,
    ) -> None:
        self._fetcher = fetcher
        self._readings = readings
        self._line = line
        self._leave = leave
        self._is_halted = is_halted
        self._clock = fetcher.clock
        self._growth = Growth(FIRST_WIDTH, most)
        self._poll = select.epoll()
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self._all: dict[int, Incoming] = {}
        self._idle: list[list[Incoming]] = [[] for _ in readings]
        self._busy = 0
        self._again: deque[Fetch] = deque()
        self._opened = 0
        self._unusual = 0

    def run(self) -> None:
        """
        Until all is fetched or left, or the crew is halted; no temporary file stays. ``CannotWriteError`` for
        what the disk says.
        """
        looked_at = now = self._clock.monotonic()
        waited_seconds = 0.0
        try:
            while not self._is_halted():
                self._fill(now)
                if not self._busy and self._is_over:
                    break
                events = self._poll.poll(TURN_SECONDS)
                waited_until = self._clock.monotonic()
                waited_seconds += waited_until - now
                now = waited_until
                for descriptor, _ in events:
                    incoming = self._all.get(descriptor)
                    if incoming is not None:  # else one before it in this turn let it go
                        self._advance(incoming, now)
                now = self._clock.monotonic()
                self._growth.look(now, waited_seconds)
                if now - looked_at >= LOOK_SECONDS:
                    looked_at = now
                    self._cut_stalled(waited_until)
        finally:
            self._close()

    @property
    def _is_over(self) -> bool:
        return self._unusual >= MOST_UNUSUAL or (self._line.is_over and not self._again)

    # Out

    def _fill(self, now: float) -> None:
        while self._busy < self._growth.width and self._unusual < MOST_UNUSUAL:
            item = self._again.popleft() if self._again else self._line.next()
            if item is None:
                return
            reading = self._readings[item.store]
            if reading is None:
                self._leave(item)
                continue
            request = self._request(item, reading)
            if request is None:
                self._left(item)
                continue
            slowdowns_seen = reading.pace.enter_now()
            if slowdowns_seen is None:
                self._again.appendleft(item)
                return
            incoming = self._connection(item.store, reading)
            if incoming is None:
                reading.pace.leave(slowdowns_seen)
                self._left(item)
                continue
            incoming.item, incoming.request, incoming.since = item, request, now
            incoming.slowdowns_seen = slowdowns_seen
            incoming.expected = self._fetcher.expected(item)
            self._busy += 1
            if incoming.channel.is_open:
                self._ask(incoming)

    def _request(self, item: Fetch, reading: Reading) -> bytes | None:
        try:
            return reading.straight.request(item.key, item.etag)
        except LightermanError:  # whoever fetches it is told the same, and what to do
            return None

    def _connection(self, store: int, reading: Reading) -> Incoming | None:
        idle = self._idle[store]
        if idle:
            return idle.pop()
        address = reading.addresses[self._opened % len(reading.addresses)]
        self._opened += 1
        try:
            channel = Channel(reading.straight.way, address)
        except ConnectionFailedError:
            return None
        incoming = Incoming(store, channel)
        self._all[channel.descriptor] = incoming
        self._poll.register(channel.descriptor, select.EPOLLOUT)
        return incoming

    def _ask(self, incoming: Incoming) -> None:
        try:
            incoming.channel.send(incoming.request)
        except ConnectionFailedError:
            self._broken(incoming)

    # In

    def _advance(self, incoming: Incoming, now: float) -> None:
        channel = incoming.channel
        try:
            if not channel.is_open:
                self._open_further(incoming)
                return
            count = channel.receive(self._buffer)
            while count > 0:
                incoming.since = now
                self._arrived(incoming, self._buffer[:count])
                if channel.is_plain or incoming.item is None:
                    return
                count = channel.receive(self._buffer)  # what TLS has decoded, no poll tells
        except ConnectionFailedError:
            count = 0
        if count == 0:
            self._broken(incoming)

    def _open_further(self, incoming: Incoming) -> None:
        channel = incoming.channel
        channel.open_further()
        wanted = select.EPOLLOUT if channel.wants_write else select.EPOLLIN
        self._poll.modify(channel.descriptor, wanted)
        if channel.is_open:
            self._ask(incoming)

    def _arrived(self, incoming: Incoming, data: memoryview) -> None:
        item = incoming.item
        if item is None:  # an answer to nothing
            self._drop(incoming)
            return
        if incoming.head is None:
            rest = self._begun(incoming, item, data)
            if rest is None:
                return
            data = rest
        incoming.done_bytes += len(data)
        if incoming.done_bytes > item.size_bytes:
            self._refused(incoming, item)
            return
        try:
            if incoming.sum is not None:
                incoming.sum.update(data)
            while data:
                data = data[os.write(incoming.file, data) :]
            if incoming.done_bytes == item.size_bytes:
                self._complete(incoming, item)
        except OSError as error:
            raise place.cannot_write(item.path, error, item.size_bytes) from error

    def _begun(self, incoming: Incoming, item: Fetch, data: memoryview) -> memoryview | None:
        """The body's first bytes, once the head is there and is the usual one."""
        received = incoming.received + bytes(data)
        end = received.find(END)
        if end < 0 and len(received) < MOST_HEAD_BYTES:
            incoming.received = received
            return None
        head = parsed(received[: end + len(END)]) if end >= 0 else None
        if head is None or not self._is_usual(head, item):
            self._refused(
                incoming, item, is_slow_down=head is not None and head.status in SLOW_DOWN
            )
            return None
        temporary = place.temporary_of(item.path)
        try:
            incoming.file = place.create(temporary)
            self._fetcher.require_inside(item, incoming.file)
        except OSError as error:
            raise place.cannot_write(item.path, error, item.size_bytes) from error
        incoming.head, incoming.temporary = head, temporary
        if incoming.expected is not None:
            algorithm = algorithm_of(incoming.expected)
            incoming.sum = _md5(usedforsecurity=False) if algorithm == MD5 else new_sum(algorithm)
        return memoryview(received)[end + len(END) :]

    def _is_usual(self, head: Head, item: Fetch) -> bool:
        reading = self._readings[item.store]
        assert reading is not None  # noqa: S101 - it was asked
        is_whole = head.status == 200 and head.length_bytes == item.size_bytes
        return is_whole and reading.straight.is_of(head, item.etag)

    def _complete(self, incoming: Incoming, item: Fetch) -> None:
        expected, head = incoming.expected, incoming.head
        assert head is not None  # noqa: S101 - it came before the body
        is_verified = False
        if expected is not None and incoming.sum is not None:
            found = checksum(algorithm_of(expected), incoming.sum.hexdigest())
            is_verified = found == expected
            if not is_verified:
                self._refused(incoming, item)
                return
        reading = self._readings[item.store]
        assert reading is not None  # noqa: S101 - it was asked
        attributes = reading.straight.attributes(head)
        self._fetcher.publish(
            item, incoming.temporary, incoming.file, attributes, verified=is_verified
        )
        self._fetcher.tally.carried(item.size_bytes)
        os.close(incoming.file)
        incoming.file, incoming.temporary = -1, ""
        self._unusual = 0
        self._growth.ended()
        reading.pace.leave(incoming.slowdowns_seen, went_well=True)
        self._busy -= 1
        incoming.item, incoming.head, incoming.sum = None, None, None
        incoming.received, incoming.done_bytes, incoming.is_used = b"", 0, True
        if head.keeps:
            self._idle[item.store].append(incoming)
        else:
            self._drop(incoming)

    # What isn't usual

    def _broken(self, incoming: Incoming) -> None:
        """No more comes through it. One that was let go while it was idle says nothing of the next."""
        item, was_let_go = incoming.item, incoming.is_used and not incoming.received
        if item is not None and was_let_go and incoming.head is None:
            self._give_back(incoming)
            self._again.append(item)
            self._drop(incoming)
        elif item is not None:
            self._refused(incoming, item)
        else:
            self._drop(incoming)

    def _refused(self, incoming: Incoming, item: Fetch, *, is_slow_down: bool = False) -> None:
        """Another is to find out what it means."""
        self._give_back(incoming, is_slow_down=is_slow_down)
        self._drop(incoming)
        self._left(item)

    def _left(self, item: Fetch) -> None:
        self._unusual += 1
        get_logger().debug("init.file_left", key=item.key, in_a_row=self._unusual)
        self._leave(item)

    def _give_back(self, incoming: Incoming, *, is_slow_down: bool = False) -> None:
        reading = self._readings[incoming.store]
        if incoming.item is not None and reading is not None:
            reading.pace.leave(incoming.slowdowns_seen, slowed_down=is_slow_down)
            self._busy -= 1
            incoming.item = None

    def _cut_stalled(self, now: float) -> None:
        for incoming in list(self._all.values()):
            reading, item = self._readings[incoming.store], incoming.item
            if item is None or reading is None:
                continue
            way = reading.straight.way
            patience = way.stall_seconds if incoming.channel.is_open else way.connect_seconds
            if now - incoming.since > patience:
                get_logger().warning("init.stalled", key=item.key, seconds=round(patience, 3))
                self._refused(incoming, item)

    def _drop(self, incoming: Incoming) -> None:
        if incoming.file >= 0:
            os.close(incoming.file)
            place.discard(incoming.temporary)
            incoming.file = -1
        idle = self._idle[incoming.store]
        if incoming in idle:
            idle.remove(incoming)
        if self._all.pop(incoming.channel.descriptor, None) is not None:
            with contextlib.suppress(OSError):  # a handshake that failed may have closed it
                self._poll.unregister(incoming.channel.descriptor)
            incoming.channel.close()

    def _close(self) -> None:
        """What isn't there yet is another's, also when that one was told to stop: it isn't done."""
        for incoming in list(self._all.values()):
            item = incoming.item
            self._give_back(incoming)
            self._drop(incoming)
            if item is not None:
                self._leave(item)
        self._poll.close()
        for item in self._again:
            self._leave(item)
