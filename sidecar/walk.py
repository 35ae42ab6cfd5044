"""
The reconcile's eyes: a walk over the outputs, compared with the journal a directory at a time.

It finds what the bucket lacks, whatever events said or missed. It decides nothing: what it saw is
handed on in pieces of bounded size.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath, join, marker_path

LOOK_FILES: Final = 500
"""A look is handed on when it has so many dirty files: a walk's memory is bounded by it."""
ROOT: Final = RelPath("")
MOST_LINKS_DEEP: Final = 3
"""Links to directories are followed below each other so often; more only multiplies the same files."""


class Dirty(NamedTuple):
    """A file whose present state the journal doesn't have."""

    path: RelPath
    state: FileState | None
    """``None`` where even that can't be read: its upload says so."""
    owner: int
    """Its uid: only the owner may ask the kernel who else has it open."""


class Skipped(NamedTuple):
    """Something that isn't uploaded, and why."""

    path: RelPath
    why: str


class Look(NamedTuple):
    """Part of what a walk saw in one directory."""

    directory: RelPath
    dirty: list[Dirty]
    clean: int = 0
    """Files whose state the journal has."""
    is_empty: bool = False
    """Nothing in it is uploaded, and the journal doesn't have its marker."""
    skipped: tuple[Skipped, ...] = ()
    absent: tuple[RelPath, ...] = ()
    """Paths that the journal has and the directory lacks."""
    unreadable: str = ""
    """Why the directory can't be read."""

    @property
    def is_quiet(self) -> bool:
        """Whether it has nothing to tell but how many files are as the journal has them."""
        return not (self.dirty or self.is_empty or self.skipped or self.absent or self.unreadable)


class _Pending(NamedTuple):
    directory: RelPath
    came_through: tuple[str, ...] = ()
    """The real directories that links led out of and into, the outermost first; empty without links."""
    depth: int = 0
    """How many links led here."""


def walk(
    root: str,
    names: Names,
    journal: Journal,
    watch: Callable[[RelPath], object] = lambda _directory: None,
    *,
    top: RelPath = ROOT,
) -> Iterator[Look]:
    """
    ``top`` and every directory below it that isn't left out, in no order. ``watch`` is called with each
    one before it is read, so that nothing that comes later is missed. ``root`` is a real path.
    """
    pending = [_Pending(top)]
    while pending:
        here = pending.pop()
        if not here.depth:
            watch(here.directory)
        yield from _look(root, names, journal, here, pending)


def directories(root: str, names: Names) -> Iterator[RelPath]:
    """Every directory that a walk would read, parents first; links are not followed."""
    pending = [RelPath("")]
    while pending:
        directory = pending.pop()
        yield directory  # watched first: what is made from here on is told
        try:
            entries = os.scandir(os.path.join(root, directory))
        except OSError:  # the walk that follows names it
            continue
        with entries:
            pending += [
                below
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and not names.is_left_out(below := join(directory, entry.name), directory=True)
            ]


def vanished(names: Names, journal: Journal, walked: set[RelPath]) -> Iterator[RelPath]:
    """Paths that the journal has in directories that a whole walk didn't meet."""
    for directory in journal.directories():
        if directory in walked or names.is_covered(directory, directory=True):
            continue
        for name in journal.synced_in(directory):
            yield join(directory, name)


class _Sight:
    """What was seen of one directory so far."""

    def __init__(
        self, root: str, names: Names, here: _Pending, synced: dict[str, tuple[int, ...]]
    ) -> None:
        self._root = root
        self._names = names
        self._here = here
        self._synced = synced
        self._dirty: list[Dirty] = []
        self._skipped: list[Skipped] = []
        self._present: set[str] = set()
        self._clean = 0
        self.below: list[_Pending] = []
        self.is_bare = True
        """Nothing in it is uploaded."""

    def see(self, entry: "os.DirEntry[str]") -> Look | None:
        """Take one entry in; a look when there is enough for one."""
        path = join(self._here.directory, entry.name)
        is_directory = entry.is_dir(follow_symlinks=False)
        self._present.add(entry.name + "/" if is_directory else entry.name)
        if self._names.is_left_out(path, directory=is_directory):
            return None
        if is_directory:
            self.below.append(self._here._replace(directory=path))
            self.is_bare = False
            return None
        try:
            status = _status(self._root, path, entry, self._here)
        except OSError:  # a directory that may be listed and not passed through
            self.is_bare = False
            return self._note(Dirty(path, None, os.geteuid()))
        if isinstance(status, str):
            self._skipped.append(Skipped(path, status))
        elif isinstance(status, _Pending):
            self.below.append(status)
            self._present.add(entry.name + "/")
            self.is_bare = False
        elif status is not None:
            self.is_bare = False
            return self._see_file(path, entry.name, status)
        return None

    def _see_file(self, path: RelPath, name: str, status: os.stat_result) -> Look | None:
        state = FileState.of(status)
        if self._synced.get(name) == state:
            self._clean += 1
            return None
        return self._note(Dirty(path, state, status.st_uid))

    def _note(self, found: Dirty) -> Look | None:
        self._dirty.append(found)
        if len(self._dirty) < LOOK_FILES:
            return None
        dirty, self._dirty = self._dirty, []
        return Look(self._here.directory, dirty)

    def last(self, *, wants_marker: bool) -> Look:
        """The directory's last look."""
        directory = self._here.directory
        absent = tuple(
            join(directory, name)
            for name in self._synced
            if name not in self._present
            and not self._names.is_left_out(
                join(directory, name.removesuffix("/")), directory=name.endswith("/")
            )
        )
        return Look(directory, self._dirty, self._clean, wants_marker, tuple(self._skipped), absent)


def _look(
    root: str, names: Names, journal: Journal, here: _Pending, pending: list[_Pending]
) -> Iterator[Look]:
    directory = here.directory
    try:
        entries = os.scandir(os.path.join(root, directory))
    except (FileNotFoundError, NotADirectoryError):
        if not directory:
            yield Look(directory, [], unreadable="it isn't there")
        return
    except OSError as error:
        yield Look(directory, [], unreadable=error.strerror or str(error))
        return
    sight = _Sight(root, names, here, journal.states_in(directory))
    with entries:
        for entry in entries:
            look = sight.see(entry)
            if look:
                yield look
    pending += sight.below
    wants_marker = sight.is_bare and bool(directory) and not journal.synced(marker_path(directory))
    yield sight.last(wants_marker=wants_marker)


def _status(
    root: str, path: RelPath, entry: "os.DirEntry[str]", here: _Pending
) -> "os.stat_result | _Pending | str | None":
    """
    The status of the file that would be uploaded under this name, or the directory to walk there, or why
    there is neither; ``None`` if it vanished. ``OSError`` where it can't be told.
    """
    try:
        if entry.is_symlink():
            return _linked(root, path, entry.stat(), here)
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return "a link to nothing" if entry.is_symlink() else None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a loop of links"
        raise
    return status if stat.S_ISREG(status.st_mode) else _special(status.st_mode)


def _linked(
    root: str, path: RelPath, status: os.stat_result, here: _Pending
) -> os.stat_result | _Pending | str:
    target = os.path.realpath(os.path.join(root, path))
    if target != root and not target.startswith(root.rstrip("/") + "/"):
        return "a link to outside of the outputs"
    if stat.S_ISREG(status.st_mode):
        return status
    if not stat.S_ISDIR(status.st_mode):
        return "a link to " + _special(status.st_mode)
    came_through = (*here.came_through, os.path.realpath(os.path.join(root, here.directory)))
    if any(at == target or at.startswith(target + "/") for at in came_through):
        return "a link to a directory above it"
    if here.depth >= MOST_LINKS_DEEP:
        return "a link to a directory, below other such links"
    return _Pending(path, (*came_through, target), here.depth + 1)


def _special(mode: int) -> str:
    for is_kind, name in (
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    ):
        if is_kind(mode):
            return name
    return "no regular file"
