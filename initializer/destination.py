"""A directory that init fills: made, proven to take files, and held by one process at a time."""

import contextlib
import errno
import fcntl
import os
import stat
from typing import Self

from initializer.keys import STATE_DIRECTORY, TEMPORARY
from lighterman.errors import CannotWriteError, TransientError

_LOCK = "init.lock"
_RUNNING = b"running\n"


class Destination:
    """
    One destination, held by this process alone from opening to the end of its ``with`` block. Before
    ``begin`` it is left as it was found.

    Opening it raises ``CannotWriteError`` when it can't be made, is no directory or refuses a file, and
    ``TransientError`` when another init is at work there.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.shown = root or "/"
        self.state_directory = f"{root}/{STATE_DIRECTORY}"
        self._made: list[str] = []
        self._is_begun = False
        self.is_tidy = False
        """Set when no temporary file is left, so that the next run needs no sweep."""
        try:
            self._make(self.shown)
            self._make(self.state_directory)
            if os.path.islink(self.state_directory):
                raise NotADirectoryError(errno.ENOTDIR, "a symlink", self.state_directory)
            self._lock = self._locked(f"{self.state_directory}/{_LOCK}")
            if self.state_directory not in self._made:
                self._probe()
        except OSError as error:
            self._unmake()
            raise CannotWriteError(
                f"can't write to {self.shown}: {error.filename}: {error.strerror}",
                hint="give a directory that this container's user may write to",
            ) from error
        except TransientError:
            self._unmake()
            raise
        self.was_killed = os.fstat(self._lock).st_size > 0
        """Whether the run before this one ended without tidying up."""

    def begin(self) -> None:
        """From now on files are written: a process that is killed leaves this note behind."""
        self._is_begun = True
        os.pwrite(self._lock, _RUNNING, 0)

    def sweep(self, kept: frozenset[str] = frozenset()) -> int:
        """
        Take away the temporary files that a killed run left, except ``kept``; how many there were. What
        this user may not look into, as an ext4 volume's ``lost+found``, holds none.
        """
        pending, swept = [self.shown], 0
        while pending:
            with contextlib.suppress(PermissionError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif TEMPORARY.fullmatch(entry.name) and entry.path not in kept:
                        os.unlink(entry.path)
                        swept += 1
        return swept

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go: as it was before if nothing was begun, else with a note if anything was left."""
        if not self._is_begun:
            self._unmake()
        elif self.is_tidy:
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def _make(self, path: str) -> None:
        wanted = []
        while not os.path.isdir(path):
            wanted.append(path)
            path = os.path.dirname(path)
        for directory in reversed(wanted):
            try:
                os.mkdir(directory)
            except FileExistsError:
                if not os.path.isdir(directory):
                    problem = "it is no directory"
                    raise NotADirectoryError(errno.ENOTDIR, problem, directory) from None
            else:
                self._made.append(directory)

    def _unmake(self) -> None:
        with contextlib.suppress(OSError):  # whatever is not empty by now stays
            if self.state_directory in self._made:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.state_directory}/{_LOCK}")
            for path in reversed(self._made):
                os.rmdir(path)

    def _locked(self, path: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            descriptor = os.open(path, flags, 0o644)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise FileExistsError(errno.EEXIST, "it is no regular file", path)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(descriptor, path):
                    return descriptor
            except BlockingIOError as error:
                os.close(descriptor)
                raise TransientError(
                    f"another init is at work in {self.shown}",
                    hint="let one container at a time fill a volume",
                ) from error
            except OSError as error:
                if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    return descriptor  # a filesystem without locks: nothing better is to be had
                os.close(descriptor)
                raise
            os.close(descriptor)  # whoever held it took the file away with it: once more

    def _probe(self) -> None:
        """A state directory that was there proves nothing about its parent."""
        path = f"{self.root}/.lighterman-{'0' * 16}.tmp"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.unlink(path)


def _is_at(descriptor: int, path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False
