"""A plan, held compactly until it is carried out: in memory while it is small, then on disk."""

import contextlib
import marshal
import os
import zlib
from collections.abc import Iterator

from initializer.plan import Fetch, MakeDirectory
from lighterman.errors import CannotWriteError

MOST_MEMORY_BYTES = 8 * 1024 * 1024
_ACTIONS_PER_BLOCK = 512


class Spool:
    """
    Actions in, the same actions out, once. Beyond ``MOST_MEMORY_BYTES`` they lie in a nameless file in
    ``directory``: ten million take some hundred megabytes there, and none here.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pending: list[tuple[object, ...]] = []
        self._blocks: list[bytes] = []
        self._in_memory_bytes = 0
        self._descriptor = -1
        self._sizes: list[int] = []

    def add(self, action: Fetch | MakeDirectory) -> None:
        """One more at the end."""
        self._pending.append(tuple(action))
        if len(self._pending) >= _ACTIONS_PER_BLOCK:
            self._seal()

    def drain(self) -> Iterator[Fetch | MakeDirectory]:
        """All of them, in order. Nothing is added after."""
        self._seal()
        for block in self._sealed():
            for fields in marshal.loads(zlib.decompress(block)):  # noqa: S302 - our own bytes
                yield Fetch(*fields) if len(fields) > 1 else MakeDirectory(*fields)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _seal(self) -> None:
        if not self._pending:
            return
        block = zlib.compress(marshal.dumps(self._pending), 1)
        self._pending = []
        if self._descriptor < 0 and self._in_memory_bytes + len(block) <= MOST_MEMORY_BYTES:
            self._blocks.append(block)
            self._in_memory_bytes += len(block)
            return
        try:
            if self._descriptor < 0:
                self._descriptor = _nameless_file(self._directory)
            os.write(self._descriptor, block)
        except OSError as error:
            raise CannotWriteError(
                f"can't keep the plan in {self._directory}: {error.strerror}",
                hint="give the volume a larger size limit",
            ) from error
        self._sizes.append(len(block))

    def _sealed(self) -> Iterator[bytes]:
        while self._blocks:
            yield self._blocks.pop(0)
        at = 0
        for size in self._sizes:
            yield os.pread(self._descriptor, size, at)
            at += size


def _nameless_file(directory: str) -> int:
    path = f"{directory}/plan.tmp"
    with contextlib.suppress(FileNotFoundError):  # a killed run's, or a link that would be followed
        os.unlink(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return descriptor
