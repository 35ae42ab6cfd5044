"""Connections for straight requests, one for each thread that has one under way; kept for the next."""

import contextlib
import os
import socket
from collections import deque
from typing import Final

from lighterman.stores.failures import Place, broken
from lighterman.stores.heads import END, MOST_HEAD_BYTES, Head, parsed
from lighterman.stores.straight import Way, dropped

_FIRST_BYTES: Final = 64 * 1024
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class Kept:
    """Connections to one server. Usable from many threads at once."""

    def __init__(self, way: Way, place: Place) -> None:
        self._way = way
        self._place = place
        self._idle: deque[socket.socket] = deque()
        self._process = os.getpid()

    def take(self, key: str) -> tuple[socket.socket, bool]:
        """One for a request about ``key``, and whether it is new. ``TransientError`` and what else ``broken`` makes of none."""
        if self._process != os.getpid():  # a fork shares its parent's connections
            self._process = os.getpid()
            self.close()
        with contextlib.suppress(IndexError):
            return self._idle.pop(), False
        try:
            return self._way.connected(), True
        except OSError as error:
            raise broken(self._place, str(error), key) from error

    def give_back(self, connection: socket.socket, *, is_usable: bool) -> None:
        """One whose answer was read to its end is used again."""
        if is_usable:
            self._idle.append(connection)
        else:
            dropped(connection)

    def close(self) -> None:
        """Let go of those that no request holds."""
        while self._idle:
            dropped(self._idle.pop())


def head_of(connection: socket.socket) -> tuple[Head, bytes] | None:
    """The head, and what of the body came with it; ``None`` for one that isn't taken here. ``OSError``."""
    received = b""
    while (end := received.find(END)) < 0:
        more = connection.recv(_FIRST_BYTES)
        if not more:
            raise ConnectionResetError("closed before it answered")
        received += more
        if len(received) > MOST_HEAD_BYTES:
            return None
    head = parsed(received[: end + len(END)])
    return (head, received[end + len(END) :]) if head is not None else None


def said(connection: socket.socket, head: Head, first: bytes) -> bytes:
    """What an answer says, as far as it comes and is no more than a head may be."""
    text = first
    most = head.length_bytes if head.length_bytes >= 0 else MOST_HEAD_BYTES
    with contextlib.suppress(OSError):
        while len(text) < min(most, MOST_HEAD_BYTES) and not text.endswith(_LAST_CHUNK):
            more = connection.recv(_FIRST_BYTES)
            if not more:
                break
            text += more
    return text
