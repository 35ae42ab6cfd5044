"""How a file comes to its place: under a temporary name beside it, dressed, then renamed."""

import contextlib
import errno
import os
import stat
from hashlib import blake2b

from lighterman.errors import CannotWriteError
from lighterman.stores.contract import Attributes

PERMISSIONS = 0o777
"""What of a stored mode comes back: a bucket gives nobody the right to run as another user."""

_NO_TIME_NS = 1 << 63


def temporary_of(path: str) -> str:
    """
    The temporary name beside ``path``, the same in every run and wherever the volume is mounted, so that
    what a killed run left is found again. See :data:`initializer.keys.TEMPORARY`.
    """
    cut = path.rindex("/") + 1
    name = blake2b(os.fsencode(path[cut:]), digest_size=8).hexdigest()
    return f"{path[:cut]}.lighterman-{name}.tmp"


def create(temporary: str) -> int:
    """A new, empty file, open for reading and writing; whatever had the name is gone, not followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(temporary, flags, 0o666)
    except FileExistsError:
        os.unlink(temporary)
        return os.open(temporary, flags, 0o666)


def reopen(temporary: str, size_bytes: int) -> int:
    """The regular file of that size that an earlier run left; -1 if there is no such file."""
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return -1
    told = os.fstat(descriptor)
    if stat.S_ISREG(told.st_mode) and told.st_nlink == 1 and told.st_size == size_bytes:
        return descriptor
    os.close(descriptor)
    return -1


def allocated_bytes(temporary: str) -> int:
    """The space that a file left by an earlier run takes; 0 if there is none."""
    try:
        return os.lstat(temporary).st_blocks * 512
    except OSError:
        return 0


def make_directory(path: str) -> None:
    """A directory whose parent is there. ``CannotWriteError``."""
    try:
        os.mkdir(path)
    except FileExistsError as error:
        if not os.path.isdir(path):
            raise cannot_write(path, error) from error
    except OSError as error:
        raise cannot_write(path, error) from error


def dress(descriptor: int, attributes: Attributes, modified_seconds: float) -> int:
    """
    Give a file its mode and modification time: those stored with the object, else what the umask leaves
    of 0o666 and the time when the store last wrote it. Returns the time as the file system keeps it.
    """
    if attributes.mode is not None:
        os.fchmod(descriptor, attributes.mode & PERMISSIONS)
    mtime_ns = attributes.mtime_ns
    if mtime_ns is None or abs(mtime_ns) >= _NO_TIME_NS:
        mtime_ns = round(modified_seconds * 1e9)
    os.utime(descriptor, ns=(mtime_ns, mtime_ns))
    return os.fstat(descriptor).st_mtime_ns


def discard(temporary: str) -> None:
    """Take a temporary file away, if it is there."""
    with contextlib.suppress(OSError):
        os.unlink(temporary)


def cannot_write(path: str, error: OSError, size_bytes: int | None = None) -> CannotWriteError:
    """What an ``OSError`` while writing ``path`` means to the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = "" if size_bytes is None else f" of {size_bytes} bytes"
        return CannotWriteError(
            f"no space left for {path}{need}{_free_beside(path)}",
            hint="give the volume a larger size limit, or fetch less",
        )
    return CannotWriteError(
        f"can't write {path}: {error.strerror}",
        hint="give a destination that this container's user may write to",
    )


def _free_beside(path: str) -> str:
    with contextlib.suppress(OSError):
        told = os.statvfs(os.path.dirname(path))
        return f"; {told.f_bavail * told.f_frsize} bytes are free"
    return ""
