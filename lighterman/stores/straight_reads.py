"""
Ranges by straight reads, one thread and one connection for each: received in pieces as large as the bytes are
there for, each copied twice (out of the socket, into the file) and summed up while it is at hand.
"""

import socket
from typing import Final, NamedTuple

from lighterman.stores.contract import Attributes, Digest, ETag, Key, Window
from lighterman.stores.failures import Place, broken, require_same
from lighterman.stores.heads import Head
from lighterman.stores.kept import Kept, head_of, said
from lighterman.stores.objects import cut_short
from lighterman.stores.straight import Range, Straight, dropped
from lighterman.stores.windows import write_at

PIECE_BYTES: Final = 1024 * 1024
"""Received at once. Smaller pieces cost more switches, larger ones leave the processor's cache."""
ATTEMPTS: Final = 2
"""At one request, at once: whoever calls owns what comes after."""
_TLS_PIECE_BYTES: Final = 256 * 1024


class StraightReads:
    """Reads of one store. Usable from many threads at once; connections are kept for the next read."""

    def __init__(self, straight: Straight, place: Place) -> None:
        self._straight = straight
        self._place = place
        self._kept = Kept(straight.way, place)
        self._is_plain = straight.way.tls is None

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> Attributes | None:
        """As the store's ``read_into``; ``None``, and nothing was written, where it can't be asked this way."""
        done = 0
        for attempt in range(1, ATTEMPTS + 1):
            rest = Window(window.descriptor, window.start + done, window.size_bytes - done)
            came = self._read(key, rest, at + done, etag, digest)
            if came is None:
                if not done:
                    return None
                break
            done += came.size_bytes
            if done == window.size_bytes:
                return came.attributes
            if attempt == ATTEMPTS or came.is_stalled:
                break
        raise cut_short(self._place, key, at + done)

    def _read(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> "_Came | None":
        part = Range(at, window.size_bytes) if window.size_bytes else None
        request = self._straight.request(key, etag, part)
        asked = self._asked(request, key) if request is not None else None
        if asked is None:
            return None
        connection, head, first = asked
        is_kept = False
        try:
            if _is_whole(head, window, at) and len(first) <= window.size_bytes:
                require_same(self._place, head.field(b"etag"), etag, key)
                size_bytes, is_stalled = self._receive(connection, first, window, digest)
                is_kept = head.keeps and size_bytes == window.size_bytes
                return _Came(self._straight.attributes(head), size_bytes, is_stalled)
            if head.status < 300:
                return None
            raise self._straight.refusal(head, said(connection, head, first), key)
        finally:
            self._kept.give_back(connection, is_usable=is_kept)

    def close(self) -> None:
        """Let go of the connections that no read holds."""
        self._kept.close()

    def _asked(self, request: bytes, key: Key) -> tuple[socket.socket, Head, bytes] | None:
        attempt = 0
        while True:
            connection, is_new = self._kept.take(key)
            # One that was let go while nobody used it is no attempt.
            attempt += is_new
            try:
                connection.sendall(request)
                answer = head_of(connection)
            except (BlockingIOError, TimeoutError) as error:
                dropped(connection)
                raise broken(self._place, "timed out", key) from error
            except OSError as error:
                dropped(connection)
                if attempt == ATTEMPTS:
                    raise broken(self._place, str(error), key) from error
            else:
                if answer is not None:
                    return connection, *answer
                dropped(connection)
                return None

    def _receive(
        self, connection: socket.socket, first: bytes, window: Window, digest: Digest | None
    ) -> tuple[int, bool]:
        """How much came, and whether it was waited for in vain."""
        done = 0
        piece: bytes | memoryview = first
        while True:
            if piece:
                if digest is not None:
                    digest.update(piece)
                done += write_at(window.descriptor, piece, window.start + done)
            if done == window.size_bytes:
                return done, False
            try:
                wanted = min(PIECE_BYTES, window.size_bytes - done)
                piece = _piece(connection, wanted, is_plain=self._is_plain)
            except (BlockingIOError, TimeoutError):
                return done, True
            except OSError:
                return done, False
            if not piece:
                return done, False


class _Came(NamedTuple):
    attributes: Attributes
    size_bytes: int
    is_stalled: bool


def _is_whole(head: Head, window: Window, at: int) -> bool:
    if head.length_bytes != window.size_bytes:
        return False
    if head.status == 206:
        return head.field(b"content-range").startswith(f"bytes {at}-")
    return head.status == 200 and at == 0


def _piece(connection: socket.socket, size_bytes: int, *, is_plain: bool) -> bytes | memoryview:
    """All of so many bytes, or what came of them before a wait or the end."""
    if is_plain:
        return connection.recv(size_bytes, socket.MSG_WAITALL)
    # TLS gives a record of 16 KiB at a time: each would be a write of its own.
    buffer = memoryview(bytearray(min(size_bytes, _TLS_PIECE_BYTES)))
    filled = 0
    while filled < len(buffer):
        count = connection.recv_into(buffer[filled:])
        if not count:
            break
        filled += count
    return buffer[:filled]
