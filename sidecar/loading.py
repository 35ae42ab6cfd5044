"""
Small outputs into memory, one state of each: opened once, read, and looked at again, so that what is sent can't be
made of two (decision 5). For one thread.
"""

import errno
import os
import stat
from typing import Final

from lighterman.clock import Clock
from sidecar.output import REST_SECONDS, Output
from sidecar.states import FileState, RelPath, split

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
_GONE: Final = {errno.ENOENT, errno.ENOTDIR}


class Glance:
    """One file, open, and its state. Used as a context: it is closed at the end."""

    __slots__ = ("descriptor", "path", "state", "status")

    def __init__(self, path: RelPath, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.state = FileState.of(self.status)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    def rest_seconds(self, clock: Clock) -> float | None:
        """How long until the state can be trusted; ``None`` where another clock than ours stamped it."""
        age_seconds = clock.wall() - self.state.ctime_ns / 1e9
        return None if age_seconds < 0 else max(0.0, REST_SECONDS - age_seconds)

    def is_being_written(self) -> bool:
        """As :meth:`Output.is_being_written`."""
        return Output(self.path, self.descriptor, self.state).is_being_written()

    def read(self) -> bytes | None:
        """All of it; ``None`` if it changed meanwhile."""
        size_bytes = self.status.st_size
        body = os.pread(self.descriptor, size_bytes, 0) if size_bytes else b""
        before, now = self.status, os.fstat(self.descriptor)
        is_same = (
            len(body) == size_bytes == now.st_size
            and before.st_mtime_ns == now.st_mtime_ns
            and before.st_ctime_ns == now.st_ctime_ns
            and before.st_mode == now.st_mode
        )
        return body if is_same else None

    def close(self) -> None:
        os.close(self.descriptor)


class Directories:
    """Opens files by their directory's descriptor, so that what is inside is looked up once for many."""

    def __init__(self, real_root: str) -> None:
        self._root = real_root.rstrip("/")
        self._path: str | None = None
        self._descriptor = -1

    def glance(self, path: RelPath) -> Glance | None:
        """
        The file, open; ``None`` if it is gone. ``OSError`` for whatever else: a link (``ELOOP``), a directory that
        lies outside (``EXDEV``), no permission.
        """
        directory, name = split(path)
        try:
            if directory != self._path:
                self._open(directory)
            descriptor = os.open(name, _FLAGS, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        try:
            return Glance(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Look anew from here on: a directory that is held may be moved meanwhile."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path, self._descriptor = None, -1

    def _open(self, directory: RelPath) -> None:
        self.close()
        descriptor = os.open(
            os.path.join(self._root or "/", directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        real_path = os.readlink(f"/proc/self/fd/{descriptor}")
        if real_path != (self._root or "/") and not real_path.startswith(self._root + "/"):
            os.close(descriptor)
            raise OSError(errno.EXDEV, "outside of the outputs")
        self._path, self._descriptor = directory, descriptor
