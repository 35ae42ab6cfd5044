"""Content from file to file: by shared extents where the filesystem has them, else byte by byte. Never a hard link."""

import contextlib
import errno
import fcntl
import os
from typing import Final

from lighterman.checksums import CRC32C, Sum, new_sum

FICLONE: Final = 0x40049409
"""ioctl_ficlonerange(2): the whole source becomes the target's content, by reference, copied when written to."""
PIECE_BYTES: Final = 256 * 1024
_NEVER: Final = {
    errno.EOPNOTSUPP,
    errno.EXDEV,
    errno.ENOTTY,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EPERM,
}
"""What it says between two filesystems that won't do it for another pair of files either."""


class SourceUnreadableError(Exception):
    """The file that is copied can't be read, or ended early; whoever copies does without it."""


class Copier:
    """Copies whole files, and remembers between which filesystems nothing can be shared."""

    def __init__(self) -> None:
        self._unshared: set[tuple[int, int]] = set()

    def cloned(self, source: int, target: int) -> bool:
        """Whether the empty target has all of the source's content by reference."""
        pair = os.fstat(source).st_dev, os.fstat(target).st_dev
        if pair in self._unshared:
            return False
        try:
            fcntl.ioctl(target, FICLONE, source)
        except OSError as error:
            if error.errno in _NEVER:
                self._unshared.add(pair)
            else:
                os.ftruncate(target, 0)  # a clone that ended half-way
            return False
        return True


def copied(source: int, target: int, size_bytes: int) -> str:
    """
    Copy ``size_bytes`` from the beginning of one file to that of another; the CRC32C of what was read.
    ``OSError`` where it can't be written.
    """
    total, done = new_sum(CRC32C), 0
    while done < size_bytes:
        data = _read(source, min(PIECE_BYTES, size_bytes - done), done)
        total.update(data)
        write_all(target, data, done)
        done += len(data)
    return total.hexdigest()


def crc32c_of(descriptor: int, size_bytes: int) -> str:
    """The CRC32C of a file's first ``size_bytes``."""
    total, done = new_sum(CRC32C), 0
    while done < size_bytes:
        data = _read(descriptor, min(PIECE_BYTES, size_bytes - done), done)
        total.update(data)
        done += len(data)
    return total.hexdigest()


def crc32c_of_bytes(data: bytes) -> str:
    """The CRC32C of these."""
    total: Sum = new_sum(CRC32C)
    total.update(data)
    return total.hexdigest()


def write_all(descriptor: int, data: bytes, at: int) -> None:
    """All of ``data``, at that offset. ``OSError``."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def _read(descriptor: int, size_bytes: int, at: int) -> bytes:
    data = b""
    with contextlib.suppress(OSError):
        data = os.pread(descriptor, size_bytes, at)
    if not data:
        raise SourceUnreadableError
    return data
