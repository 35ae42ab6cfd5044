"""Windows of open files: read as a body, written as bytes arrive, copied inside the kernel."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lighterman.errors import (
    CannotWriteError,
    CredentialsError,
    LightermanError,
    SourceChangedError,
    TransientError,
)
from lighterman.stores.contract import Digest, Window

CHUNK_BYTES: Final = 256 * 1024
"""What one read or write moves; larger ones were no faster and hold more memory."""

_NO_SPACE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PLACE: Final = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOENT,
    errno.ETXTBSY,
}
_NOT_HERE: Final = {
    errno.EXDEV,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.ETXTBSY,
    errno.EBADF,
}
"""What copy_file_range says where this pair of files doesn't do it (copy_file_range(2))."""


def writing_failed(error: OSError, where: str) -> LightermanError:
    """What it means that something couldn't be written to ``where``."""
    why = os.strerror(error.errno or 0)
    if error.errno in _NO_SPACE:
        return CannotWriteError(
            f"no space left at {where}: {why}", hint="make room, or give the volume a larger size"
        )
    if error.errno in _NO_PLACE:
        return CannotWriteError(
            f"can't write {where}: {why}",
            hint="check the volume's mount, its owner and the user that this runs as",
        )
    return TransientError(f"writing {where} failed: {why}")


def reading_failed(error: OSError, where: str) -> LightermanError:
    """What it means that something that is there couldn't be read from ``where``."""
    why = os.strerror(error.errno or 0)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return CredentialsError(
            f"may not read {where}: {why}",
            hint="run as the user that owns it, or give others the permission to read it",
        )
    return TransientError(f"reading {where} failed: {why}")


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> int:
    """Write all of ``data`` at ``offset``; returns how many bytes that were. ``CannotWriteError``."""
    view = memoryview(data)
    done = 0
    try:
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], offset + done)
    except OSError as error:
        raise writing_failed(error, "the file being fetched") from error
    return done


@contextmanager
def memory_window(content: bytes) -> Iterator[Window]:
    """A file in memory that holds a few bytes, as a window, for the length of the block."""
    descriptor = os.memfd_create("window", os.MFD_CLOEXEC)
    try:
        write_at(descriptor, content, 0)
        yield Window(descriptor, 0, len(content))
    finally:
        os.close(descriptor)


def read_window(window: Window) -> bytes:
    """All bytes of a window. ``SourceChangedError`` when the file ends before it does."""
    reader = WindowBody(window)
    data = reader.read()
    if len(data) < window.size_bytes:  # one pread ends at a signal or at 2 GiB
        data = b"".join([data, *iter(reader.read, b"")])
    return data


class WindowBody(io.RawIOBase):
    """
    A window as a seekable binary file, for clients that stream a body: constant memory.

    Where the file ends before its window does, reading on would send another content than was announced:
    ``read`` raises ``SourceChangedError`` then.
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self._window = window
        self._position = 0

    def __len__(self) -> int:
        return self._window.size_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, len(self) - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        try:
            data = os.pread(self._window.descriptor, wanted, self._window.start + self._position)
        except OSError as error:
            raise reading_failed(error, "the file being sent") from error
        if not data:
            raise SourceChangedError("the file being sent became shorter")
        self._position += len(data)
        return data


def are_equal(one: Window, other: Window) -> bool:
    """Whether two windows have the same bytes, read in small pieces; a file that became shorter is another."""
    if one.size_bytes != other.size_bytes:
        return False
    done = 0
    while done < one.size_bytes:
        wanted = min(CHUNK_BYTES, one.size_bytes - done)
        try:
            data = os.pread(one.descriptor, wanted, one.start + done)
            if not data or data != os.pread(other.descriptor, len(data), other.start + done):
                return False
        except OSError as error:
            raise reading_failed(error, "the files being compared") from error
        done += len(data)
    return True


def copy_between(
    source: Window, target: int, target_start: int, digest: Digest | None = None
) -> int:
    """
    Copy a window into another open file, inside the kernel (and by reference, where the filesystem
    shares extents), or through a small buffer when ``digest`` must see it or the kernel can't.
    Returns how many bytes the source had, at most the window's size.
    """
    done = 0
    if digest is None:
        done = _copied_by_kernel(source, target, target_start)
    while done < source.size_bytes:
        wanted = min(CHUNK_BYTES, source.size_bytes - done)
        try:
            data = os.pread(source.descriptor, wanted, source.start + done)
        except OSError as error:
            raise reading_failed(error, "the file being copied") from error
        if not data:
            break
        if digest is not None:
            digest.update(data)
        done += write_at(target, data, target_start + done)
    return done


def _copied_by_kernel(source: Window, target: int, target_start: int) -> int:
    done = 0
    while done < source.size_bytes:
        try:
            copied = os.copy_file_range(
                source.descriptor,
                target,
                source.size_bytes - done,
                source.start + done,
                target_start + done,
            )
        except OSError as error:
            if error.errno in _NOT_HERE:
                return done
            raise writing_failed(error, "the copy") from error
        if copied == 0:  # the end, or a filesystem that only says so: the plain way finds out
            return done
        done += copied
    return done
