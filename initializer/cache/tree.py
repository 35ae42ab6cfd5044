"""One user's entries in a cache directory. Nothing in it is followed, and nobody else's is taken for an entry."""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from initializer.cache.record import MOST_RECORD_BYTES, Record, read_record

_SMALL_BYTES: Final = 256 * 1024
"""An entry up to that size is read at once, with its record."""
_OTHERS_MAY_WRITE: Final = 0o022
_TEMPORARY: Final = ".tmp"
LOCK_FILE: Final = "lock"


class Stray(NamedTuple):
    """Something that stands under an entry's name and isn't that entry."""

    why: str


class Entry(NamedTuple):
    """An open entry whose record and size agree. ``close`` it."""

    name: str
    descriptor: int
    record: Record
    content: bytes | None
    """All of it, where it is small."""


class Temporary(NamedTuple):
    """An entry that is being written, under a name that says so. Held by a lock while its process lives."""

    descriptor: int
    name: str
    path: str


class Tree:
    """
    The directory ``uid-N`` of a cache. It is taken only where that user, or root, owns it and no other user
    may write to it: then whatever is in it was written by them.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.device = os.fstat(descriptor).st_dev

    @classmethod
    def opened(cls, cache: str, uid: int) -> Self:
        """``OSError`` if it isn't there, ``PermissionError`` if it isn't to be trusted."""
        path = f"{cache.rstrip('/')}/uid-{uid}"
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags)
        told = os.fstat(descriptor)
        why = ""
        if told.st_uid not in (uid, 0):
            why = f"uid {told.st_uid} owns it"
        elif told.st_mode & _OTHERS_MAY_WRITE:
            why = "other users may write to it"
        if why:
            os.close(descriptor)
            raise PermissionError(0, why, path)
        return cls(path, descriptor)

    def find(self, name: str) -> Entry | Stray | None:
        """The entry of that name; ``None`` where there is nothing that can be opened."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(_path(name), flags, dir_fd=self.descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Stray(error.strerror or "it can't be opened")
        found = _looked_at(name, descriptor)
        if isinstance(found, Stray):
            os.close(descriptor)
        return found

    def has(self, name: str) -> bool:
        """Whether something has that name."""
        try:
            os.stat(_path(name), dir_fd=self.descriptor, follow_symlinks=False)
        except OSError:
            return False
        return True

    def drop(self, name: str) -> int:
        """Take away what has that name; how many bytes that were, as far as it could be done."""
        with contextlib.suppress(OSError):
            told = os.stat(_path(name), dir_fd=self.descriptor, follow_symlinks=False)
            os.unlink(_path(name), dir_fd=self.descriptor)
            return told.st_size
        return 0

    def create(self, name: str, size_bytes: int) -> Temporary:
        """An empty temporary file that will have ``size_bytes``. ``OSError``."""
        path = f"{name[:2]}/.{name[2:]}.{size_bytes}.{secrets.token_hex(4)}{_TEMPORARY}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o444, dir_fd=self.descriptor)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name[:2], 0o755, dir_fd=self.descriptor)
            descriptor = os.open(path, flags, 0o444, dir_fd=self.descriptor)
        with contextlib.suppress(OSError):  # no locks there: it may be swept, and then isn't kept
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Temporary(descriptor, name, path)

    def publish(self, temporary: Temporary) -> None:
        """Give a whole entry its name, in place of what has it. ``OSError``."""
        directory = self.descriptor
        name = _path(temporary.name)
        os.rename(temporary.path, name, src_dir_fd=directory, dst_dir_fd=directory)

    def discard(self, temporary: Temporary) -> None:
        """It doesn't become an entry."""
        with contextlib.suppress(OSError):
            os.unlink(temporary.path, dir_fd=self.descriptor)

    def used(self, entry: Entry, wall_seconds: float) -> None:
        """Note that it was of use, as its modification time: access times are kept nowhere reliably."""
        now = round(wall_seconds * 1e9)
        with contextlib.suppress(OSError):  # another's, or on a read-only mount
            os.utime(entry.descriptor, ns=(now, now))

    def files(self) -> Iterator[tuple[int, os.DirEntry[str]]]:
        """All that lies where entries do, each with the descriptor of its directory, open until the next."""
        for number in range(256):
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(f"{number:02x}", flags, dir_fd=self.descriptor)
            except OSError:
                continue
            try:
                with os.scandir(descriptor) as found:
                    for one in found:
                        yield descriptor, one
            finally:
                os.close(descriptor)

    def close(self) -> None:
        os.close(self.descriptor)


def announced_bytes(name: str) -> int | None:
    """The size that a temporary name says its entry will have; ``None`` for any other name."""
    parts = name.split(".")
    if (
        name.startswith(".")
        and name.endswith(_TEMPORARY)
        and len(parts) == 5
        and parts[2].isdigit()
    ):
        return int(parts[2])
    return None


def is_left_behind(directory: int, name: str) -> bool:
    """Whether the process that wrote this temporary file is no more."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _path(name: str) -> str:
    return f"{name[:2]}/{name[2:]}"


def _looked_at(name: str, descriptor: int) -> Entry | Stray:
    try:
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode):
            return Stray("it is no regular file")
        is_small = told.st_size <= _SMALL_BYTES
        start = 0 if is_small else told.st_size - MOST_RECORD_BYTES
        data = os.pread(descriptor, told.st_size - start, start)
    except OSError as error:
        return Stray(error.strerror or "it can't be read")
    record = read_record(data, told.st_size, name)
    if record is None:
        return Stray("it isn't whole")
    content = data[: record.size_bytes] if is_small else None
    return Entry(name, descriptor, record, content)
