"""Rows in compressed blocks, in a file without a name: what doesn't fit in memory, for as long as it is needed."""

import marshal
import os
import threading
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from lighterman.errors import CannotWriteError


def packed(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Rows of plain values as one block."""
    return zlib.compress(marshal.dumps(list(rows)), 1)


def unpacked(block: bytes) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = marshal.loads(zlib.decompress(block))  # noqa: S302 - our own bytes
    return rows


class Place(NamedTuple):
    """Where a block lies in its file."""

    at: int
    size_bytes: int


class Blocks:
    """
    A file in ``directory`` that has no name, and so is gone with its process. Threads may share it. Made with its
    first block; once all that was written was taken again, its space is free for what comes.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._turn = threading.Lock()
        self._descriptor = -1
        self._size_bytes = 0
        self._left_bytes = 0
        self._is_closed = False

    @property
    def is_made(self) -> bool:
        """Whether anything was written."""
        return self._descriptor >= 0

    @property
    def size_bytes(self) -> int:
        """What it takes of the disk."""
        return self._size_bytes

    def write(self, block: bytes) -> Place:
        """Keep a block. ``CannotWriteError`` when there is no room."""
        with self._turn:
            place = Place(self._size_bytes, len(block))
            if self._is_closed:
                return place
            try:
                if self._descriptor < 0:
                    self._descriptor = _nameless_file(self._directory)
                done = 0
                while done < len(block):
                    done += os.pwrite(self._descriptor, memoryview(block)[done:], place.at + done)
            except OSError as error:
                raise CannotWriteError(
                    f"can't keep the plan in {self._directory}: {error.strerror}",
                    hint="give the volume a larger size limit",
                ) from error
            self._size_bytes += len(block)
            self._left_bytes += len(block)
            return place

    def take(self, place: Place) -> bytes:
        """A block, once."""
        with self._turn:
            block = os.pread(self._descriptor, place.size_bytes, place.at)
            self._left_bytes -= len(block)
            if not self._left_bytes:
                os.ftruncate(self._descriptor, 0)
                self._size_bytes = 0
            return block

    def close(self) -> None:
        """Let go of the file. What is written after is lost."""
        with self._turn:
            self._is_closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _nameless_file(directory: str) -> int:
    flags, number = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0
    while True:
        path = f"{directory}/plan-{number}.tmp"
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:  # of another plan, or of a process that was killed just there
            number += 1
            continue
        os.unlink(path)
        return descriptor
