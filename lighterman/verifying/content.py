"""
Whether one object has the content that it should have: by what the listing tells, else by reading it where
that is wanted, else by its size alone.
"""

import os
from enum import StrEnum
from typing import Final, NamedTuple

from lighterman.checksums import (
    CRC32C,
    algorithm_of,
    checksum,
    joined_crc32c,
    new_sum,
    of_window,
)
from lighterman.command import Context
from lighterman.errors import DeadlineError
from lighterman.stores.contract import Listed, Store, Window
from lighterman.transfer.retry import Attempts
from sidecar.output import opened
from sidecar.parts import part_bytes_for, spans
from sidecar.states import RelPath

PIECE_BYTES: Final = 4 << 20
"""What is read at once, into memory of its own."""


class Sight(StrEnum):
    """What a comparison of one object saw."""

    EQUAL = "equal"
    SIZE_ALONE = "size"
    DIFFERENT = "different"


class Compared(NamedTuple):
    """What was seen, and why it isn't equal."""

    sight: Sight
    said: str = ""


class Contents:
    """Compares single objects of one store. Usable from many threads."""

    def __init__(self, store: Store, context: Context, *, reads: bool) -> None:
        self._store = store
        self._attempts = Attempts(
            context.settings.retry_seconds, context.clock, context.tally, context.stop
        )
        self._tally = context.tally
        self._reads = reads

    def with_sum(self, listed: Listed, size_bytes: int, crc32c: str, by: str) -> Compared:
        """With what a manifest (``by`` names it) tells of an object."""
        if listed.size_bytes != size_bytes:
            said = f"it has {listed.size_bytes} bytes, and {size_bytes} by {by}"
            return Compared(Sight.DIFFERENT, said)
        told = listed.checksum
        if told is not None and algorithm_of(told) == CRC32C:
            is_equal = told == checksum(CRC32C, crc32c)
        elif self._reads:
            is_equal = self._read(listed) == crc32c
        else:
            return Compared(Sight.SIZE_ALONE)
        said = f"its content is not what {by} says"
        return Compared(Sight.EQUAL) if is_equal else Compared(Sight.DIFFERENT, said)

    def with_file(self, listed: Listed, root: str, path: RelPath) -> Compared:
        """With a file of a directory. ``CannotWriteError`` where it can't be read."""
        with opened(root, path) as output:
            if output is None:
                return Compared(Sight.DIFFERENT, f"{path} went away while it was compared")
            size_bytes = output.state.size_bytes
            if listed.size_bytes != size_bytes:
                said = f"it has {listed.size_bytes} bytes, and the file has {size_bytes}"
                return Compared(Sight.DIFFERENT, said)
            found = self._compared(listed, output.window)
            if not output.holds(live=False):
                return Compared(Sight.DIFFERENT, "the file changed while it was compared")
            return found

    def _compared(self, listed: Listed, window: Window) -> Compared:
        part_bytes = part_bytes_for(window.size_bytes, self._store.limits)
        if self._store.has_content(listed, window, part_bytes):
            return Compared(Sight.EQUAL)
        other = Compared(Sight.DIFFERENT, "its content is not the file's")
        if listed.checksum is not None:
            # What a listing tells may only look like a checksum; the store stands by what it tells alone.
            told = self._attempts.call(
                f"stat {listed.key}", lambda: self._store.stat(listed.key)
            ).checksum
            if told is not None:
                algorithm = algorithm_of(told)
                if told == checksum(algorithm, of_window(algorithm, window)):
                    return Compared(Sight.EQUAL)
                return other
        if not self._reads:
            return Compared(Sight.SIZE_ALONE)
        is_equal = self._read(listed) == of_window(CRC32C, window)
        return Compared(Sight.EQUAL) if is_equal else other

    def _read(self, listed: Listed) -> str:
        """The CRC32C of the object's bytes, pinned to what was listed."""
        total = 0
        descriptor = os.memfd_create("verify", os.MFD_CLOEXEC)
        try:
            for span in spans(listed.size_bytes, PIECE_BYTES):
                if self._attempts.is_stopped:
                    raise DeadlineError("told to stop before all was compared", key=listed.key)
                piece = self._piece(listed, descriptor, span.start, span.size_bytes)
                total = joined_crc32c(total, int(piece, 16), span.size_bytes)
                self._tally.carried(span.size_bytes)
        finally:
            os.close(descriptor)
        return f"{total:08x}"

    def _piece(self, listed: Listed, descriptor: int, at: int, size_bytes: int) -> str:
        def read() -> str:
            digest = new_sum(CRC32C)
            window = Window(descriptor, 0, size_bytes)
            self._store.read_into(listed.key, window, at=at, etag=listed.etag, digest=digest)
            return digest.hexdigest()

        return self._attempts.call(f"get {listed.key}", read)
