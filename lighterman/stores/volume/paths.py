"""
From keys to files below one root, never out of it.

Files are opened by path and then checked by the descriptor's own name (``/proc/self/fd``), which no
symlink exchanged in between can deceive.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    LightermanError,
    SourceMissingError,
    UntrustedDataError,
)
from lighterman.stores.contract import ETag, Key
from lighterman.stores.windows import reading_failed, writing_failed

UPLOADS: Final = ".lighterman-uploads"
"""The hidden directory under the root that holds the parts of open uploads."""
TEMPORARY: Final = ".lighterman-tmp-"
"""How the names of files being written begin; they stand beside their final place."""
LONGEST_NAME_BYTES: Final = 255
_NO_NAMELESS: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS}
"""What ``O_TMPFILE`` is answered where the filesystem, or the kernel, doesn't have it (open(2))."""


def is_hidden(name: str) -> bool:
    """Whether a name is the store's own, which no listing shows and no key may use."""
    return name == UPLOADS or name.startswith(TEMPORARY)


def relative_path(key: str, connection: str) -> str:
    """The path below the root that a key stands for; ``UntrustedDataError`` if there is none."""
    path = key.removesuffix("/")
    for part in path.split("/"):
        if why := _why_unsafe(part):
            raise UntrustedDataError(
                f"{key!r} can't be a file of a volume: {why}",
                hint="rename the object, or leave it out with exclude",
                connection=connection,
                key=key,
            )
    return path


def _why_unsafe(part: str) -> str:
    if part in {"", ".", ".."}:
        return f"it has the path component {part!r}"
    if "\0" in part:
        return "it has a NUL"
    if is_hidden(part):
        return f"{part!r} is a name that the volume store keeps for itself"
    if len(os.fsencode(part)) > LONGEST_NAME_BYTES:
        return f"a component is longer than {LONGEST_NAME_BYTES} bytes"
    return ""


def etag_of(status: os.stat_result) -> ETag:
    """
    A version of a file: another one for another inode, size, mtime or ctime. Not for another device: a
    volume that is mounted anew gets another number. A directory has one for all times, as its marker has
    no content.
    """
    if stat.S_ISDIR(status.st_mode):
        return ETag("directory")
    return ETag(
        f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
    )


class Root:
    """The directory that is the store's bucket."""

    def __init__(self, path: str, connection: str) -> None:
        self.path = os.path.realpath(path)
        self.connection = connection

    def where(self, key: str) -> str:
        return os.path.join(self.path, key)

    def missing(self) -> BucketMissingError | None:
        """The error to raise when there is no such directory; ``None`` when there is."""
        if os.path.isdir(self.path):
            return None
        return BucketMissingError(
            f"{self.path} of connection {self.connection!r} is not a directory that is there",
            hint="mount the volume there, or correct the connection's mountPath",
            connection=self.connection,
        )

    @contextmanager
    def opened(self, key: Key) -> Iterator[int]:
        """A descriptor of the file (or, for ``dir/``, of the directory) to read from."""
        path = relative_path(key, self.connection)
        wants_directory = key.endswith("/")
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a fifo must not be waited for
        try:
            descriptor = os.open(self.where(path), flags | os.O_DIRECTORY * wants_directory)
        except OSError as error:
            raise self._not_opened(error, key) from error
        try:
            mode = os.fstat(descriptor).st_mode
            right_kind = wants_directory or stat.S_ISREG(mode)
            if not right_kind or not self._holds(descriptor):
                raise self._no_object(key)
            yield descriptor
        finally:
            os.close(descriptor)

    def _not_opened(self, error: OSError, key: Key) -> LightermanError:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}:
            return self.missing() or self._no_object(key)
        return reading_failed(error, self.where(key))

    def _no_object(self, key: Key) -> SourceMissingError:
        return SourceMissingError(
            f"{self.where(key)} isn't there", connection=self.connection, key=key
        )

    def _holds(self, descriptor: int) -> bool:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A descriptor of a directory below the root. ``FileNotFoundError``, ``NotADirectoryError``."""
        descriptor = os.open(self.where(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not self._holds(descriptor):
                raise self._leads_out(path)
            yield descriptor
        finally:
            os.close(descriptor)

    def make_directory(self, path: str) -> None:
        """Make a directory below the root with its parents; one that is there is no error."""
        if missing := self.missing():
            raise missing
        place = self.where(path)
        real = os.path.realpath(place)
        if not (real + "/").startswith(self.path.rstrip("/") + "/"):
            raise self._leads_out(path)
        try:
            os.makedirs(place, exist_ok=True)
        except OSError as error:
            raise writing_failed(error, place) from error

    def _leads_out(self, path: str) -> CannotWriteError:
        return CannotWriteError(
            f"{self.where(path)} leads out of {self.path} by a symlink",
            hint="remove the symlink, or write under another prefix",
            connection=self.connection,
        )

    @contextmanager
    def replacing(self, path: str) -> Iterator["Replacement"]:
        """A new file beside its place; it vanishes with the block unless it was ``placed``."""
        replacement = self._begin_replacing(path)
        try:
            yield replacement
        finally:
            replacement.close()

    def _begin_replacing(self, path: str) -> "Replacement":
        try:
            return self._try_replacing(path)
        except FileNotFoundError:
            self.make_directory(path.rpartition("/")[0])
        except OSError as error:
            raise writing_failed(error, self.where(path)) from error
        try:
            return self._try_replacing(path)
        except OSError as error:
            raise writing_failed(error, self.where(path)) from error

    def _try_replacing(self, path: str) -> "Replacement":
        parent, _, name = path.rpartition("/")
        temporary = TEMPORARY + secrets.token_hex(8)
        with self.directory(parent) as directory:
            descriptor, has_name = _new_file(directory, temporary)
            return Replacement(
                descriptor,
                os.dup(directory),
                temporary,
                name,
                self.where(path),
                has_name=has_name,
            )


def _new_file(directory: int, temporary: str) -> tuple[int, bool]:
    """
    A new file in ``directory``, and whether it has a name there. Without one nothing is left of it when the
    process is killed; some filesystems (NFS, FUSE) don't know such files.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(".", flags | os.O_TMPFILE, 0o666, dir_fd=directory), False
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
    return os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=directory), True


class Replacement:
    """A file that is being written under a temporary name."""

    def __init__(
        self,
        descriptor: int,
        directory: int,
        temporary: str,
        name: str,
        where: str,
        *,
        has_name: bool,
    ) -> None:
        self.descriptor = descriptor
        self._directory = directory
        self._temporary = temporary
        self._name = name
        self._where = where
        self._is_there = has_name

    def place(self, mode: int | None, mtime_ns: int | None) -> ETag:
        """Give it its mode and mtime, then its name; what stood there is replaced in one step."""
        try:
            self._dress(mode, mtime_ns)
            if self._is_there or not self._linked():
                self._replace()
            return etag_of(os.fstat(self.descriptor))
        except OSError as error:
            raise writing_failed(error, self._where) from error

    def place_if_absent(self, mode: int | None, mtime_ns: int | None) -> ETag | None:
        """As ``place``, but ``None`` when the name is taken. A link, since it never replaces."""
        try:
            self._dress(mode, mtime_ns)
            return etag_of(os.fstat(self.descriptor)) if self._linked() else None
        except OSError as error:
            raise writing_failed(error, self._where) from error

    def _linked(self) -> bool:
        """Whether the name was free, and is this file's now; a link never replaces."""
        try:
            self._link(self._name)
        except FileExistsError:
            return False
        return True

    def _replace(self) -> None:
        if not self._is_there:
            self._link(self._temporary)
            self._is_there = True
        os.rename(
            self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory
        )
        self._is_there = False

    def _link(self, name: str) -> None:
        if self._is_there:
            os.link(self._temporary, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        else:
            os.link(f"/proc/self/fd/{self.descriptor}", name, dst_dir_fd=self._directory)

    def close(self) -> None:
        os.close(self.descriptor)
        if self._is_there:
            with contextlib.suppress(OSError):  # no listing shows it, whoever removes it
                os.unlink(self._temporary, dir_fd=self._directory)
        os.close(self._directory)

    def _dress(self, mode: int | None, mtime_ns: int | None) -> None:
        if mode is not None:
            os.fchmod(self.descriptor, mode)
        if mtime_ns is not None:
            os.utime(self.descriptor, ns=(mtime_ns, mtime_ns))
