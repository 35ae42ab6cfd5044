"""A plan, held compactly until it is carried out: in memory while it is small, then on disk."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from initializer.blocks import Blocks, Place, packed, unpacked
from initializer.plan import Fetch, MakeDirectory

MOST_MEMORY_BYTES = 8 * 1024 * 1024
_ACTIONS_PER_BLOCK = 512


class Spool:
    """
    Actions in, the same actions out, once. Beyond ``MOST_MEMORY_BYTES`` they lie in a nameless file in
    ``directory``: ten million take some hundred megabytes there, and none here.
    """

    def __init__(self, directory: str) -> None:
        self._pending: list[tuple[Any, ...]] = []
        self._in_memory: deque[bytes] = deque()
        self._in_memory_bytes = 0
        self._on_disk: deque[Place] = deque()
        self._file = Blocks(directory)

    @property
    def disk_bytes(self) -> int:
        """What it takes of the disk."""
        return self._file.size_bytes

    def add(self, action: Fetch | MakeDirectory) -> None:
        """One more at the end."""
        self._pending.append(tuple(action))
        if len(self._pending) >= _ACTIONS_PER_BLOCK:
            self._seal()

    def drain(self) -> Iterator[Fetch | MakeDirectory]:
        """All of them, in order. Nothing is added after."""
        self._seal()
        for block in self._blocks():
            for fields in unpacked(block):
                yield Fetch(*fields) if len(fields) > 1 else MakeDirectory(*fields)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _seal(self) -> None:
        if not self._pending:
            return
        block = packed(self._pending)
        self._pending = []
        if not self._file.is_made and self._in_memory_bytes + len(block) <= MOST_MEMORY_BYTES:
            self._in_memory.append(block)
            self._in_memory_bytes += len(block)
        else:
            self._on_disk.append(self._file.write(block))

    def _blocks(self) -> Iterator[bytes]:
        while self._in_memory:
            yield self._in_memory.popleft()
        while self._on_disk:
            yield self._file.take(self._on_disk.popleft())
