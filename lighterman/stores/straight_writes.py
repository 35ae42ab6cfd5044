"""
Parts of large files by straight requests, one thread and one connection for each: the kernel takes the bytes out of
the open file into the socket (``sendfile``), and no process copies them.
"""

import errno
import os
import socket
from typing import Final, Protocol

from lighterman.errors import LightermanError, SourceChangedError
from lighterman.stores.contract import ETag, Key, Part, Window
from lighterman.stores.failures import Place, broken
from lighterman.stores.heads import Head
from lighterman.stores.kept import Kept, head_of, said
from lighterman.stores.straight import Way, dropped
from lighterman.stores.windows import CHUNK_BYTES, reading_failed

ATTEMPTS: Final = 2
"""At one request, at once: whoever calls owns what comes after."""
SUM_BYTES: Final = 1024 * 1024
"""Summed up at once: what of a file fits into the processor's cache."""
_NOT_BY_KERNEL: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
"""What sendfile says of a file system that doesn't do it (sendfile(2))."""


class PartRequests(Protocol):
    """How the parts of one store's uploads are sent straight."""

    way: Way
    sums_parts: bool

    def part(
        self, key: Key, upload_id: str, number: int, size_bytes: int, crc32: str | None
    ) -> bytes | None: ...

    def etag(self, head: Head) -> ETag | None: ...

    def refusal(self, head: Head, body: bytes, key: Key) -> LightermanError: ...


class StraightWrites:
    """Parts to one store. Usable from many threads at once; connections are kept for the next part."""

    def __init__(self, requests: PartRequests, place: Place) -> None:
        self._requests = requests
        self._place = place
        self._kept = Kept(requests.way, place)
        self._is_plain = requests.way.tls is None

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part | None:
        """As the store's ``send_part``; ``None``, and nothing was sent, where it can't be sent this way."""
        crc32 = _crc32(window) if self._requests.sums_parts else None
        request = self._requests.part(key, upload_id, number, window.size_bytes, crc32)
        if request is None:
            return None
        connection, head, first = self._answered(request, window, key)
        text, is_usable = b"", False
        try:
            text = said(connection, head, first)
            is_usable = head.keeps and len(text) == head.length_bytes and head.status < 300
        finally:
            self._kept.give_back(connection, is_usable=is_usable)
        if head.status != 200:
            raise self._requests.refusal(head, text, key)
        etag = self._requests.etag(head)
        if etag is None:
            raise broken(self._place, "a part was taken without an ETag", key)
        return Part(number, etag, window.size_bytes)

    def close(self) -> None:
        """Let go of the connections that no part holds."""
        self._kept.close()

    def _answered(
        self, request: bytes, window: Window, key: Key
    ) -> tuple[socket.socket, Head, bytes]:
        attempt = 0
        while True:
            connection, is_new = self._kept.take(key)
            # One that was let go while nobody used it is no attempt.
            attempt += is_new
            try:
                answer = self._sent(connection, request, window)
            except (BlockingIOError, TimeoutError) as error:
                dropped(connection)
                raise broken(self._place, "timed out", key) from error
            except OSError as error:
                dropped(connection)
                if attempt == ATTEMPTS:
                    raise broken(self._place, str(error), key) from error
            except BaseException:
                dropped(connection)
                raise
            else:
                if answer is not None:
                    return connection, *answer
                dropped(connection)
                raise broken(self._place, "an answer that is none of HTTP/1.1", key)

    def _sent(
        self, connection: socket.socket, request: bytes, window: Window
    ) -> tuple[Head, bytes] | None:
        try:
            if self._is_plain:
                connection.sendall(request, socket.MSG_MORE)
                _send_by_kernel(connection, window)
            else:
                connection.sendall(request)
                _send_copied(connection, window, 0)
        except (BrokenPipeError, ConnectionResetError):
            # A store that refuses needn't read the body before it says so.
            return head_of(connection)
        return head_of(connection)


def _send_by_kernel(connection: socket.socket, window: Window) -> None:
    done, target = 0, connection.fileno()
    while done < window.size_bytes:
        left = window.size_bytes - done
        try:
            sent = os.sendfile(target, window.descriptor, window.start + done, left)
        except OSError as error:
            if error.errno not in _NOT_BY_KERNEL:
                raise
            _send_copied(connection, window, done)
            return
        if not sent:
            raise SourceChangedError("the file being sent became shorter")
        done += sent


def _send_copied(connection: socket.socket, window: Window, done: int) -> None:
    while done < window.size_bytes:
        piece = _read(window, done, CHUNK_BYTES)
        connection.sendall(piece)
        done += len(piece)


def _read(window: Window, done: int, most_bytes: int) -> bytes:
    wanted = min(most_bytes, window.size_bytes - done)
    try:
        piece = os.pread(window.descriptor, wanted, window.start + done)
    except OSError as error:
        raise reading_failed(error, "the file being sent") from error
    if not piece:
        raise SourceChangedError("the file being sent became shorter")
    return piece


def _crc32(window: Window) -> str:
    """In base64, as S3's header has it."""
    import base64
    import zlib

    done = found = 0
    while done < window.size_bytes:
        piece = _read(window, done, SUM_BYTES)
        found = zlib.crc32(piece, found)
        done += len(piece)
    return base64.b64encode(found.to_bytes(4, "big")).decode()
