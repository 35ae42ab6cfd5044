"""Whether what is to be fetched fits, known before the first byte is fetched."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lighterman.cgroup import memory_limit_bytes, memory_reclaimable_bytes, memory_used_bytes
from lighterman.errors import CannotWriteError

MEMORY_FILESYSTEMS = frozenset({"tmpfs", "ramfs"})


class Room(NamedTuple):
    """What one filesystem has left for this process. ``None``: it doesn't say, or doesn't bound it."""

    free_bytes: int
    block_bytes: int
    free_files: int | None
    memory_bytes: int | None
    """What the container may still use of memory, where files are kept in memory."""


class Need(NamedTuple):
    """What is to be written to one filesystem."""

    size_bytes: int
    """File by file rounded up to whole blocks."""
    files: int


def rounded(size_bytes: int, block_bytes: int) -> int:
    """What a file of ``size_bytes`` takes of a filesystem with such blocks."""
    return -(-size_bytes // block_bytes) * block_bytes


def why_too_little(need: Need, room: Room) -> str | None:
    """Why it doesn't fit, with what is needed and what is free; ``None`` when it fits."""
    if need.size_bytes > room.free_bytes:
        return f"{need.size_bytes} bytes are needed and {room.free_bytes} are free"
    if room.memory_bytes is not None and need.size_bytes > room.memory_bytes:
        return (
            f"it is kept in memory, {need.size_bytes} bytes are needed and the container may use "
            f"{room.memory_bytes} more"
        )
    if room.free_files is not None and need.files > room.free_files:
        return f"{need.files} files are needed and it can take {room.free_files} more"
    return None


def room_at(path: str, root: Path = Path("/")) -> Room:
    """The room at a directory. ``root`` is where ``proc`` and ``sys`` are."""
    told = os.statvfs(path)
    return Room(
        free_bytes=told.f_bavail * told.f_frsize,
        block_bytes=max(1, told.f_frsize),
        free_files=told.f_favail if told.f_files else None,
        memory_bytes=_memory_left(root) if _is_in_memory(os.stat(path).st_dev, root) else None,
    )


def existing(path: str) -> str:
    """An absolute path itself, or the nearest above it at which anything is."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


class Needs:
    """
    Sums up what is to be written below each destination; those on one filesystem share its room. One that
    isn't there yet has the room of the directory that it would be made in.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = [root or "/" for root in roots]
        there = [existing(root) for root in self._roots]
        self._devices = [os.stat(root).st_dev for root in there]
        self._rooms = [room_at(root) for root in there]
        self._block_bytes = [room.block_bytes for room in self._rooms]
        self._sizes = [0] * len(roots)
        self._files = [0] * len(roots)

    def add(self, root: int, size_bytes: int) -> None:
        """One more file below the destination of that number."""
        self._sizes[root] += rounded(size_bytes, self._block_bytes[root])
        self._files[root] += 1

    def told(self) -> Iterator[tuple[str, Need, Room]]:
        """Each destination with what its filesystem needs, and the room that this has."""
        sizes: Counter[int] = Counter()
        files: Counter[int] = Counter()
        for device, size_bytes, count in zip(self._devices, self._sizes, self._files, strict=True):
            sizes[device] += size_bytes
            files[device] += count
        for root, device, room in zip(self._roots, self._devices, self._rooms, strict=True):
            yield root, Need(sizes[device], files[device]), room

    def require(self) -> None:
        """``CannotWriteError`` that says how much is needed and how much is free, if it doesn't fit."""
        for root, need, room in self.told():
            reason = why_too_little(need, room)
            if reason:
                raise CannotWriteError(
                    f"no space in {root}: {reason}",
                    hint="give the volume a larger size limit, or fetch less",
                )


def filesystem_of(device: int, mountinfo: Iterable[str]) -> str | None:
    """
    The type of the filesystem with this device number, from the lines of ``/proc/self/mountinfo``:
    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo:
        fields, _, rest = line.partition(" - ")
        if fields.split(" ", 3)[2:3] == [number]:
            return rest.split(" ", 1)[0]
    return None


def _is_in_memory(device: int, root: Path) -> bool:
    try:
        with (root / "proc/self/mountinfo").open() as lines:
            return filesystem_of(device, lines) in MEMORY_FILESYSTEMS
    except OSError:
        return False


def _memory_left(root: Path) -> int | None:
    limit, used = memory_limit_bytes(root), memory_used_bytes(root)
    if limit is None or used is None:
        return None
    return max(0, limit - used + memory_reclaimable_bytes(root))
