"""
Uploads by parts, as resumable sessions (https://cloud.google.com/storage/docs/resumable-uploads): one stream of
bytes, which the store takes in order and in whole multiples of 256 KiB, and which any process may go on with.

What follows the last multiple is held here until the upload is finished: it makes the object visible.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from lighterman.checksums import CRC32C, checksum, joined_crc32c
from lighterman.errors import (
    LightermanError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.secret import scrub_passing
from lighterman.stores.contract import Checksum, ETag, Key, Part, UploadLimits, Window
from lighterman.stores.gcs import failures
from lighterman.stores.gcs.parts import PartBytes
from lighterman.stores.gcs.resources import Resource, base64_of, resource_of
from lighterman.stores.gcs.settings import GcsSettings
from lighterman.stores.gcs.wire import Answer, Wire
from lighterman.stores.gcs.writes import check

T = TypeVar("T")

QUANTUM_BYTES: Final = 256 * 1024
"""All requests of a session but the last carry multiples of it."""
LIMITS: Final = UploadLimits(QUANTUM_BYTES, 5 * 1024**4, 10_000, in_order=True)
"""A session knows no parts: these only bound what a journal has to keep. An object ends at 5 TiB."""
TURNS: Final = 3
"""Requests of one call, each of which begins where the store is."""
_RANGE: Final = re.compile(r"bytes=0-(\d+)")
_CRC32C: Final = re.compile(r"[0-9a-f]{8}")
_GONE: Final = {404, 410}


@dataclass
class _Session:
    """What this process knows of one upload."""

    path: str
    """Of the session's URI, with its query."""
    part_bytes: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    has_bytes: int = 0
    """How many bytes the store has; to be asked for unless ``is_known``."""
    is_known: bool = False
    tail: bytes = b""
    """What follows them, and is held here."""
    whole_bytes: int = 0
    """Where the last part ended that this process sent."""
    made: Resource | None = None

    @property
    def held_bytes(self) -> int:
        return self.has_bytes + len(self.tail)

    def came_to(self, has_bytes: int) -> None:
        ahead = has_bytes - self.has_bytes
        self.tail = self.tail[ahead:] if ahead >= 0 else b""
        self.has_bytes, self.is_known = has_bytes, True


class Uploads:
    """The sessions of one bucket. They need no login, so they outlive its changes."""

    def __init__(self, settings: GcsSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def begun(self, uri_path: str, part_bytes: int) -> str:
        """The id of a session that was just begun."""
        upload_id = f"{part_bytes} {uri_path}"
        session = self._session(upload_id, Key(""))
        session.is_known = True
        return upload_id

    def send_part(self, wire: Wire, key: Key, upload_id: str, number: int, window: Window) -> Part:
        with self._alone(upload_id, key) as session:
            start = (number - 1) * session.part_bytes
            part = PartBytes(window, start)
            self._in_turns(key, session, lambda: self._send_on(wire, key, session, part))
            session.whole_bytes = max(session.whole_bytes, part.end)
            return Part(number, ETag(part.crc32c()), window.size_bytes)

    def sent_parts(self, wire: Wire, key: Key, upload_id: str) -> list[Part]:
        """Those of which every byte came, as far as that can be told: a smaller last one only here."""
        with self._alone(upload_id, key) as session:
            session.is_known = False
            self._ask(wire, key, session)
            if session.made:
                raise self._missing(key, "is finished")
            count, rest = divmod(session.held_bytes, session.part_bytes)
            sizes = [session.part_bytes] * count
            if rest and session.held_bytes == session.whole_bytes:
                sizes.append(rest)
            return [Part(number, ETag(""), size) for number, size in enumerate(sizes, start=1)]

    def finish(self, wire: Wire, key: Key, upload_id: str, parts: list[Part]) -> ETag:
        total = sum(part.size_bytes for part in parts)
        expected = combined(parts)
        with self._alone(upload_id, key) as session:
            made = self._in_turns(
                key, session, lambda: self._end(wire, key, session, total, expected)
            )
        self._forget(upload_id)
        try:
            check(self._settings, key, made, total, expected)
        except TransientError as error:
            # It is there already, and must not stay so; the same session would only tell it again.
            query = {"ifGenerationMatch": made.generation}
            with suppress(
                SourceMissingError, SourceChangedError
            ):  # replaced by someone, or deleted
                wire.call("DELETE", wire.path_of(key), query, key=key)
            raise self._missing(key, "was damaged on its way") from error
        return ETag(made.generation)

    def abandon(self, wire: Wire, key: Key, upload_id: str) -> None:
        try:
            session = self._session(upload_id, key)
        except UploadMissingError:
            return
        answer = wire.of_session("DELETE", session.path, key, {"content-length": "0"})
        # 499 is the word for it: .../docs/performing-resumable-uploads#cancel-upload
        if answer.status in {408, 429} or answer.status >= 500:
            raise wire.explained(answer, key)
        self._forget(upload_id)

    @contextmanager
    def _alone(self, upload_id: str, key: Key) -> Iterator[_Session]:
        """The session, for one thread at a time. One that is no more isn't held on to."""
        session = self._session(upload_id, key)
        with session.lock:
            try:
                yield session
            except UploadMissingError:
                self._forget(upload_id)
                raise

    def _session(self, upload_id: str, key: Key) -> _Session:
        with self._lock:
            session = self._sessions.get(upload_id)
            if session is None:
                part_bytes, _, path = upload_id.partition(" ")
                if not part_bytes.isdigit() or int(part_bytes) < 1 or not path.startswith("/"):
                    raise self._missing(key, "has an id that isn't one of GCS's")
                session = self._sessions[upload_id] = _Session(path, int(part_bytes))
        scrub_passing(session.path)
        return session

    def _forget(self, upload_id: str) -> None:
        with self._lock:
            self._sessions.pop(upload_id, None)

    def _in_turns(self, key: Key, session: _Session, turn: Callable[[], T | None]) -> T:
        """Take turns until one gives a result. A request that broke may have left some bytes."""
        for left in reversed(range(TURNS)):
            try:
                if (result := turn()) is not None:
                    return result
            except LightermanError as error:
                session.is_known = False
                is_slow = isinstance(error, SlowDownError)
                if not left or is_slow or not isinstance(error, TransientError):
                    raise
        raise TransientError(
            f"{self._settings.endpoint} keeps too little of {key!r} at a time",
            connection=self._settings.connection,
            key=key,
        )

    def _send_on(self, wire: Wire, key: Key, session: _Session, part: PartBytes) -> int | None:
        """Send what is missing of a part; gives how far the upload is when nothing is."""
        if not session.is_known:
            self._ask(wire, key, session)
        if session.made or session.held_bytes >= part.end:
            return session.held_bytes
        if session.held_bytes < part.start:
            raise self._missing(key, "lacks a part that had to come before")
        begin = session.has_bytes
        size = (part.end - begin) // QUANTUM_BYTES * QUANTUM_BYTES
        if size:
            tail = session.tail

            def body() -> Iterator[bytes]:
                yield tail
                yield from part.pieces(begin + len(tail), begin + size)

            told = f"bytes {begin}-{begin + size - 1}/*"
            self._put(wire, key, session, told, size, body)
        is_next = part.start <= session.held_bytes < part.end
        if is_next and part.end - session.has_bytes < QUANTUM_BYTES:
            session.tail += b"".join(part.pieces(session.held_bytes, part.end))
        return session.held_bytes if session.held_bytes >= part.end else None

    def _end(
        self, wire: Wire, key: Key, session: _Session, total: int, expected: Checksum | None
    ) -> Resource | None:
        """Send what is held; gives the object when it was made."""
        if not session.is_known:
            self._ask(wire, key, session)
        if session.made:
            return session.made
        if session.held_bytes != total:
            raise self._missing(key, f"has {session.held_bytes} bytes, not {total}")
        begin, tail = session.has_bytes, session.tail
        told = f"bytes {begin}-{total - 1}/{total}" if tail else f"bytes */{total}"
        goog_hash = f"crc32c={base64_of(expected.partition(':')[2])}" if expected else ""
        self._put(wire, key, session, told, len(tail), lambda: iter([tail]), goog_hash)
        return session.made

    def _ask(self, wire: Wire, key: Key, session: _Session) -> None:
        """How far the session is: .../docs/performing-resumable-uploads#status-check."""
        self._put(wire, key, session, "bytes */*", 0, lambda: iter([b""]))

    def _put(
        self,
        wire: Wire,
        key: Key,
        session: _Session,
        told: str,
        size: int,
        body: Callable[[], Iterator[bytes]],
        goog_hash: str = "",
    ) -> None:
        headers = {"content-range": told, "content-length": str(size)}
        if goog_hash:
            headers["x-goog-hash"] = goog_hash
        answer = wire.of_session("PUT", session.path, key, headers, body, attempts=1)
        self._take(wire, key, session, answer)

    def _take(self, wire: Wire, key: Key, session: _Session, answer: Answer) -> None:
        if answer.status in {200, 201}:
            session.made, session.is_known = resource_of(answer.body), True
        elif answer.status == 308:
            match = _RANGE.fullmatch(answer.headers.get("range", ""))
            session.came_to(int(match[1]) + 1 if match else 0)
        elif answer.status in _GONE or answer.status == 499:
            raise self._missing(key, f"is no more ({answer.status})")
        elif failures.is_damage(failures.from_answer(answer.status, answer.body)):
            raise self._missing(key, "was damaged on its way")
        else:
            raise wire.explained(answer, key)

    def _missing(self, key: Key, why: str) -> UploadMissingError:
        return UploadMissingError(
            f"the upload of {key!r} to bucket {self._settings.bucket!r} {why}",
            connection=self._settings.connection,
            key=key,
        )


def combined(parts: list[Part]) -> Checksum | None:
    """What an object of these parts adds up to; ``None`` where a part's CRC32C isn't known."""
    total = 0
    for part in sorted(parts):
        if not _CRC32C.fullmatch(part.etag):
            return None
        total = joined_crc32c(total, int(part.etag, 16), part.size_bytes)
    return checksum(CRC32C, f"{total:08x}")
