"""
The reconcile's eyes: a walk over the outputs, compared with the journal a directory at a time.

It finds what the bucket lacks, whatever events said or missed. It decides nothing: what it saw is
handed on in pieces of bounded size.
"""

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.states import FileState, RelPath, Synced, join

LOOK_FILES: Final = 500
"""A look is handed on when it has so many dirty files: a walk's memory is bounded by it."""
MOST_LINKS_DEEP: Final = 3
"""Links to directories are followed below each other so often; more only multiplies the same files."""


class Dirty(NamedTuple):
    """A file whose present state the journal doesn't have."""

    path: RelPath
    state: FileState
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


class _Pending(NamedTuple):
    directory: RelPath
    links: tuple[str, ...]
    """The real directories that links led through, the outermost first."""


def walk(
    root: str,
    names: Names,
    journal: Journal,
    watch: Callable[[RelPath], object] = lambda _directory: None,
) -> Iterator[Look]:
    """
    Every directory below ``root`` that isn't left out, in no order. ``watch`` is called with each one
    before it is read, so that nothing that comes later is missed. ``root`` is a real path.
    """
    pending = [_Pending(RelPath(""), ())]
    while pending:
        here = pending.pop()
        if not here.links:
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
    synced = journal.synced_in(directory)
    dirty: list[Dirty] = []
    skipped: list[Skipped] = []
    present: set[str] = set()
    clean = kept = 0
    with entries:
        for entry in entries:
            path = join(directory, entry.name)
            is_directory = entry.is_dir(follow_symlinks=False)
            present.add(entry.name + "/" if is_directory else entry.name)
            if names.is_left_out(path, directory=is_directory):
                continue
            if is_directory:
                pending.append(_Pending(path, here.links))
                kept += 1
                continue
            status = _status(root, path, entry, here, pending)
            if status is None:
                continue
            if isinstance(status, str):
                skipped.append(Skipped(path, status))
                continue
            kept += 1
            if stat.S_ISDIR(status.st_mode):
                present.add(entry.name + "/")
            elif _is_clean(status, synced.get(entry.name)):
                clean += 1
            else:
                dirty.append(Dirty(path, FileState.of(status), status.st_uid))
                if len(dirty) == LOOK_FILES:
                    yield Look(directory, dirty)
                    dirty = []
    absent = tuple(
        join(directory, name)
        for name in synced
        if name not in present
        and not names.is_left_out(
            join(directory, name.removesuffix("/")), directory=name.endswith("/")
        )
    )
    marker = directory.rpartition("/")[2] + "/"
    parent = RelPath(directory.rpartition("/")[0])
    is_empty = bool(directory) and not kept and marker not in journal.synced_in(parent)
    yield Look(directory, dirty, clean, is_empty, tuple(skipped), absent)


def _is_clean(status: os.stat_result, synced: Synced | None) -> bool:
    return synced is not None and synced.state == FileState.of(status)


def _status(
    root: str, path: RelPath, entry: "os.DirEntry[str]", here: _Pending, pending: list[_Pending]
) -> os.stat_result | str | None:
    """
    The status of what would be uploaded under this name, or why nothing is; ``None`` if it vanished.
    A link to a directory is put down to be walked.
    """
    try:
        if not entry.is_symlink():
            status = entry.stat(follow_symlinks=False)
            return status if stat.S_ISREG(status.st_mode) else _special(status.st_mode)
        try:
            status = entry.stat()
        except FileNotFoundError:
            return "a link to nothing"
    except FileNotFoundError:
        return None
    except OSError as error:  # a loop of links, a directory that may not be passed through
        return error.strerror or str(error)
    target = os.path.realpath(os.path.join(root, path))
    if target != root and not target.startswith(root.rstrip("/") + "/"):
        return "a link to outside of the outputs"
    if stat.S_ISREG(status.st_mode):
        return status
    if not stat.S_ISDIR(status.st_mode):
        return "a link to " + _special(status.st_mode)
    came_through = (*here.links, os.path.realpath(os.path.join(root, here.directory)))
    if any(at == target or at.startswith(target + "/") for at in came_through):
        return "a link to a directory above it"
    if len(here.links) >= MOST_LINKS_DEEP:
        return "a link to a directory, below other such links"
    pending.append(_Pending(path, (*here.links, target)))
    return status


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
