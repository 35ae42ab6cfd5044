"""What the sidecar knows of a file: its path below the outputs root, one state of it, what was synced."""

import os
import stat
from typing import NamedTuple, NewType

import msgspec

from lighterman.stores.contract import ETag, Key

RelPath = NewType("RelPath", str)
"""
A path below the outputs root, with ``/`` between its components and none at its start. A directory's
marker has its path with a ``/`` at the end. A name that isn't UTF-8 is held as ``os.fsdecode`` gives it
(surrogateescape): the journal never has it, and its upload is refused by name.
"""


class FileState(NamedTuple):
    """What identifies one state of a file: equal ones mean equal content (mmap writers aside)."""

    device: int
    inode: int
    """Signed: file systems that use the 64th bit (overlayfs with xino) fit into SQLite's integers."""
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    """Permission bits, ``0o7777`` at most."""

    @classmethod
    def of(cls, status: os.stat_result) -> "FileState":
        """The state that ``stat`` saw."""
        return cls(
            _signed(status.st_dev),
            _signed(status.st_ino),
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            stat.S_IMODE(status.st_mode),
        )


def _signed(number: int) -> int:
    return number if number < 1 << 63 else number - (1 << 64)


class Synced(msgspec.Struct, frozen=True):
    """One file as it is in the bucket."""

    state: FileState
    """The file's state whose bytes the object has."""
    key: Key
    etag: ETag
    uploaded: bool = True
    """False where the object was found equal, not sent by this journal: it is never deleted."""
    crc32c: str | None = None
    """Of the object's content, eight lower-case hexadecimal digits; ``None`` where nobody computed it."""


def marker_path(directory: RelPath) -> RelPath:
    """The path under which a directory's marker is journaled and uploaded: ``a/b`` → ``a/b/``."""
    return RelPath(directory.rstrip("/") + "/")


def split(path: RelPath) -> tuple[RelPath, str]:
    """Directory and name; the name of a directory's marker keeps its ``/``."""
    directory, _, name = path.rstrip("/").rpartition("/")
    return RelPath(directory), name + "/" if path.endswith("/") else name


def join(directory: RelPath | str, name: str) -> RelPath:
    """What ``split`` took apart. The root directory is ``""``."""
    return RelPath(f"{directory}/{name}" if directory else name)


def key_of(prefix: str, path: RelPath) -> Key:
    """The object's key of a path: ``prefix/path``, or the path itself where the prefix is empty."""
    return Key(f"{prefix}/{path}" if prefix else path)


def printable(path: str) -> str:
    """A path for messages: bytes that are no UTF-8 are escaped, so that any terminal and log takes it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
