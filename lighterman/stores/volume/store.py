"""A directory tree as a store: ``volume_claim``, ``host_path`` and ``file://``."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Final

from lighterman.connections.model import Bucket, Connection, Options
from lighterman.errors import (
    CannotWriteError,
    ConditionFailedError,
    ConfigurationError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UntrustedDataError,
)
from lighterman.stores.contract import (
    Attributes,
    Digest,
    ETag,
    Key,
    Listed,
    OpenUpload,
    Part,
    Span,
    Stat,
    UploadLimits,
    Window,
)
from lighterman.stores.keys import pages_after
from lighterman.stores.volume import listing
from lighterman.stores.volume.paths import Replacement, Root, etag_of, relative_path
from lighterman.stores.volume.uploads import Uploads
from lighterman.stores.windows import CHUNK_BYTES, are_equal, copy_between, writing_failed

SMALL_WRITE_BYTES: Final = 1024 * 1024 * 1024
"""Parts cost a second copy, so they are for files whose copy is worth going on with after a kill."""
MOST_PART_BYTES: Final = 5 * 1024 * 1024 * 1024
MOST_PARTS: Final = 10_000


def open_volume(connection: Connection) -> "VolumeStore":
    """The store of a connection whose schema says where it is mounted. ``ConfigurationError``."""
    if isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} is a {connection.kind} without a mountPath",
            hint="give its schema a mountPath",
            connection=connection.name,
        )
    usual = Options()
    for name in Options.__struct_fields__:
        if getattr(connection.options, name) != getattr(usual, name):
            raise ConfigurationError(
                f"connection {connection.name!r}: a volume can't honour options.{name}",
                hint="leave it out: options are for buckets",
                connection=connection.name,
            )
    return VolumeStore(
        connection.schema.mount_path, connection.name, read_only=connection.schema.read_only
    )


class VolumeStore:
    """
    Files below one directory. ETags are made of inode, size, mtime and ctime, never of content.

    A content type isn't kept, since files have none; ``dir/`` is any directory when it is asked for by
    name, and listed while it is empty.
    """

    prefix = ""
    limits = UploadLimits(1, MOST_PART_BYTES, MOST_PARTS)
    lists_after = False
    small_write_bytes = SMALL_WRITE_BYTES
    call_memory_bytes = 2 * CHUNK_BYTES
    copies_parts = False

    def __init__(self, path: str, connection: str, *, read_only: bool = False) -> None:
        self.connection = connection
        self._root = Root(path, connection)
        self._uploads = Uploads(self._root)
        self._read_only = read_only
        self.destination = f"file://{self._root.path}"

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        if missing := self._root.missing():
            raise missing
        return pages_after(listing.pages(self._root.path, prefix), after)

    def stat(self, key: Key) -> Stat:
        with self._root.opened(key) as descriptor:
            status = os.fstat(descriptor)
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        return Stat(key, size, etag_of(status), status.st_mtime, _attributes(status))

    def read_into(
        self,
        key: Key,
        window: Window,
        *,
        at: int,
        etag: ETag,
        digest: Digest | None = None,
    ) -> Attributes:
        with self._root.opened(key) as descriptor:
            before = os.fstat(descriptor)
            self._expect(key, etag, before)
            if window.size_bytes:
                source = Window(descriptor, at, window.size_bytes)
                copied = copy_between(source, window.descriptor, window.start, digest)
                self._expect(key, etag, os.fstat(descriptor))
                if copied < window.size_bytes:
                    raise TransientError(
                        f"{self._root.where(key)} ended after {at + copied} bytes",
                        connection=self.connection,
                        key=key,
                    )
        return _attributes(before)

    def straight(self) -> None:
        """Only its own engine reads it."""

    def write(
        self,
        key: Key,
        window: Window,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        path = self._writable(key)
        if key.endswith("/"):
            if only_if_absent and self._has_directory(path):
                raise self._is_there(key)
            return self._make_directory(key, path, attributes, window.size_bytes)
        with self._root.replacing(path) as file:
            if copy_between(window, file.descriptor, 0) < window.size_bytes:
                raise self._shrunk(key)
            return self._placed(file, key, attributes, replacing, only_if_absent=only_if_absent)

    def copy(
        self,
        source: Key,
        etag: ETag,
        target: Key,
        attributes: Attributes,
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        path = self._writable(target)
        with self._root.opened(source) as descriptor:
            status = os.fstat(descriptor)
            self._expect(source, etag, status)
            if target.endswith("/"):
                if only_if_absent and self._has_directory(path):
                    raise self._is_there(target)
                size = 0 if source.endswith("/") else status.st_size
                return self._make_directory(target, path, attributes, size)
            with self._root.replacing(path) as file:
                copied = copy_between(Window(descriptor, 0, status.st_size), file.descriptor, 0)
                self._expect(source, etag, os.fstat(descriptor))
                if copied < status.st_size:
                    raise self._shrunk(source)
                return self._placed(
                    file, target, attributes, replacing, only_if_absent=only_if_absent
                )

    def delete(self, key: Key) -> None:
        path = self._writable(key)
        parent, _, name = path.rpartition("/")
        try:
            with self._root.directory(parent) as directory:
                if key.endswith("/"):
                    os.rmdir(name, dir_fd=directory)
                else:
                    os.unlink(name, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if missing := self._root.missing():
                raise missing from error
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # a directory that holds something is no object
                raise writing_failed(error, self._root.where(path)) from error

    def begin(
        self,
        key: Key,
        attributes: Attributes,
        *,
        part_bytes: int,  # noqa: ARG002  # any
        only_if_absent: bool = False,  # noqa: ARG002  # said to finish
        replacing: ETag | None = None,  # noqa: ARG002  # said to finish
    ) -> str:
        self._writable(key)
        return self._uploads.begin(key, attributes, time.time())

    def send_part(self, key: Key, upload_id: str, number: int, window: Window) -> Part:
        self._writable(key)
        part, copied = self._uploads.send(key, upload_id, number, window)
        if copied < window.size_bytes:
            raise self._shrunk(key)
        return part

    def sent_parts(self, key: Key, upload_id: str) -> list[Part]:
        return self._uploads.sent(key, upload_id)

    def copy_part(
        self, source: Key, etag: ETag, key: Key, upload_id: str, number: int, span: Span
    ) -> Part:
        """Not asked of it: its parts are copied once more at the end, and sending is a copy itself."""
        raise NotImplementedError

    def finish(
        self,
        key: Key,
        upload_id: str,
        parts: list[Part],
        *,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        path = self._writable(key)
        attributes = self._uploads.describe(key, upload_id).attributes
        with self._root.replacing(path) as file:
            self._uploads.join(key, upload_id, parts, file.descriptor)
            etag = self._placed(file, key, attributes, replacing, only_if_absent=only_if_absent)
        self._uploads.drop(upload_id)
        return etag

    def abandon(self, key: Key, upload_id: str) -> None:
        self._writable(key)
        self._uploads.drop(upload_id)

    def open_uploads(self, prefix: str) -> list[OpenUpload]:
        return self._uploads.open(prefix)

    # A volume's ETags are of files, not of content.

    def made_of(self, key: Key, parts: list[Part]) -> ETag | None:  # noqa: ARG002
        return None

    def part_etag(self, window: Window) -> ETag | None:  # noqa: ARG002
        return None

    def has_content(self, listed: Listed, window: Window, part_bytes: int) -> bool:  # noqa: ARG002
        return False

    def same_content(self, key: Key, etag: ETag, window: Window, part_bytes: int) -> bool:  # noqa: ARG002
        try:
            with self._root.opened(key) as descriptor:
                status = os.fstat(descriptor)
                stored = Window(descriptor, 0, window.size_bytes)
                if etag_of(status) != etag or status.st_size != window.size_bytes:
                    return False
                return are_equal(stored, window) and etag_of(os.fstat(descriptor)) == etag
        except SourceMissingError:
            return False

    def close(self) -> None:
        """Nothing is held open."""

    def _writable(self, key: Key) -> str:
        if self._read_only:
            raise CannotWriteError(
                f"connection {self.connection!r} is readOnly: {key!r} can't be written",
                hint="take readOnly out of the connection, or write to another one",
                connection=self.connection,
                key=key,
            )
        return relative_path(key, self.connection)

    def _make_directory(
        self,
        key: Key,
        path: str,
        attributes: Attributes,
        size_bytes: int,
    ) -> ETag:
        if size_bytes:
            raise UntrustedDataError(
                f"{key!r} is a directory's marker, but has content: a volume can't keep that",
                connection=self.connection,
                key=key,
            )
        self._root.make_directory(path)
        try:
            with self._root.directory(path) as descriptor:
                if attributes.mode is not None:
                    os.fchmod(descriptor, attributes.mode)
                if attributes.mtime_ns is not None:
                    os.utime(descriptor, ns=(attributes.mtime_ns, attributes.mtime_ns))
                return etag_of(os.fstat(descriptor))
        except OSError as error:
            raise writing_failed(error, self._root.where(path)) from error

    def _placed(
        self,
        file: Replacement,
        key: Key,
        attributes: Attributes,
        replacing: ETag | None,
        *,
        only_if_absent: bool,
    ) -> ETag:
        """
        The new file under its name, if the condition holds. Of a file that is to be replaced it is compared right
        before the rename: the kernel knows no rename that compares, so what is written in between is lost.
        """
        if replacing is not None and self._version(key) != replacing:
            raise ConditionFailedError(
                f"{self._root.where(key)} is another file by now",
                connection=self.connection,
                key=key,
            )
        place = file.place_if_absent if only_if_absent else file.place
        etag = place(attributes.mode, attributes.mtime_ns)
        if etag is None:
            raise self._is_there(key)
        return etag

    def _version(self, key: Key) -> ETag | None:
        try:
            return self.stat(key).etag
        except SourceMissingError:
            return None

    def _has_directory(self, path: str) -> bool:
        return os.path.isdir(self._root.where(path))

    def _expect(self, key: Key, etag: ETag, status: os.stat_result) -> None:
        if etag_of(status) != etag:
            raise SourceChangedError(
                f"{self._root.where(key)} is another file by now",
                connection=self.connection,
                key=key,
            )

    def _shrunk(self, key: Key) -> SourceChangedError:
        return SourceChangedError(
            f"what was being written to {self._root.where(key)} became shorter",
            connection=self.connection,
            key=key,
        )

    def _is_there(self, key: Key) -> ConditionFailedError:
        return ConditionFailedError(
            f"{self._root.where(key)} is there already", connection=self.connection, key=key
        )


def _attributes(status: os.stat_result) -> Attributes:
    return Attributes(None, stat.S_IMODE(status.st_mode), status.st_mtime_ns)
