"""
One output, opened once: every byte of an object comes from this descriptor, so that a file that is
replaced by rename meanwhile gives no object made of two.
"""

import contextlib
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from typing import Final

from lighterman.clock import Clock
from lighterman.errors import CannotWriteError, TransientError
from lighterman.stores.contract import Window
from lighterman.stores.windows import copy_between
from sidecar.states import FileState, RelPath, printable

REST_SECONDS: Final = 0.020
"""
A change within one clock tick of the kernel (10 ms at most; kernels before 6.13 stamp times per tick)
moves neither mtime nor ctime: a state is trusted when its ctime is older than that, with room.
"""
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ESTALE, errno.ENODEV}


class Output:
    """A regular file inside the outputs, open for reading, and its state as it was opened."""

    def __init__(self, path: RelPath, descriptor: int, state: FileState) -> None:
        self.path = path
        self.descriptor = descriptor
        self.state = state

    @property
    def window(self) -> Window:
        """All of the file, as long as it was when it was opened."""
        return Window(self.descriptor, 0, self.state.size_bytes)

    def holds(self, *, live: bool) -> bool:
        """
        Whether what was read since the opening is one state that the file had: nothing changed, or
        for a ``live`` file, which only grows, that it wasn't cut.
        """
        now = FileState.of(os.fstat(self.descriptor))
        return now.size_bytes >= self.state.size_bytes if live else now == self.state

    def rested(self, clock: Clock) -> float:
        """Seconds until the state can be trusted; 0 if it can be now (see ``REST_SECONDS``)."""
        age_seconds = clock.wall() - self.state.ctime_ns / 1e9
        if age_seconds < 0:
            # A file server whose clock is ahead. Two equal looks, so far apart, are as good.
            clock.wait(REST_SECONDS)
            return 0.0 if self.holds(live=False) else REST_SECONDS
        return max(0.0, REST_SECONDS - age_seconds)

    def is_being_written(self) -> bool:
        """
        Whether someone has it open for writing, as far as that can be known: by a read lease, which is
        let go at once. It needs the file's uid and a local file system; where it isn't given, false.
        """
        try:
            # Whoever opens the file for writing while the lease is held waits, and the holder gets a
            # signal: SIGIO, which would end this process, unless another is chosen. SIGURG is ignored.
            fcntl.fcntl(self.descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self.descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            return error.errno == errno.EAGAIN
        fcntl.fcntl(self.descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False

    @contextlib.contextmanager
    def copied(self) -> Iterator[Window]:
        """
        The bytes as they are now, in memory of their own: what is done with them takes its time, and
        the file may change meanwhile. Shorter than the state's size if the file was cut.
        """
        copy = os.memfd_create("output", os.MFD_CLOEXEC)
        try:
            yield Window(copy, 0, copy_between(self.window, copy, 0))
        finally:
            os.close(copy)


def is_there(root: str, path: RelPath) -> bool:
    """Whether something is there that goes by this key: a directory in a file's place does not."""
    place = os.path.join(root, path)
    if os.path.isdir(place) and not os.path.islink(place):
        return path.endswith("/")
    return os.path.lexists(place)


def peek(root: str, path: RelPath) -> FileState | None:
    """The file's state by its path, links followed; ``None`` if it is gone or no regular file."""
    try:
        status = os.stat(os.path.join(root, path))
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise unreadable(path, error) from error
    return FileState.of(status) if stat.S_ISREG(status.st_mode) else None


@contextlib.contextmanager
def opened(real_root: str, path: RelPath) -> Iterator[Output | None]:
    """
    The output for the length of the block; ``None`` if it is gone, is no regular file, or is a link to
    outside of ``real_root`` (a path without links). ``CannotWriteError`` if it can't be read.
    """
    try:
        descriptor = os.open(os.path.join(real_root, path), _FLAGS)
    except OSError as error:
        if error.errno in _GONE:
            descriptor = None
        elif error.errno in {errno.EMFILE, errno.ENFILE}:
            raise TransientError(
                f"can't read output {path}: {error.strerror}",
                hint="raise the limit of open files (ulimit -n)",
                key=path,
            ) from error
        else:
            raise unreadable(path, error) from error
    if descriptor is None:
        yield None
        return
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and _is_inside(real_root, descriptor):
            yield Output(path, descriptor, FileState.of(status))
        else:
            yield None
    finally:
        os.close(descriptor)


def unreadable(path: RelPath, error: OSError) -> CannotWriteError:
    """An output that can't be read can't be brought into the bucket (73)."""
    return CannotWriteError(
        f"can't read output {printable(path)}: {error.strerror or error}",
        hint="run the sidecar with the uid that writes the outputs, or leave the file out (--exclude)",
        key=printable(path),
    )


def _is_inside(real_root: str, descriptor: int) -> bool:
    """By the open file's own name, since a link could be turned between a look and the opening."""
    real_path = os.readlink(f"/proc/self/fd/{descriptor}")
    return real_path.startswith(real_root.rstrip("/") + "/")
