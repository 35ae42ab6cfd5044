"""
An outputs path under inotify: what the kernel tells becomes changes of relative paths.

Events are hints, the reconcile is the truth: whatever is missed here (a full queue, a directory that
was renamed while it was looked at), a walk finds, and mends the watches on its way.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from inotify_simple import Event, INotify, flags

from sidecar.globs import Names
from sidecar.states import RelPath

MASK: Final = (
    flags.CREATE
    | flags.CLOSE_WRITE
    | flags.MODIFY
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.DELETE
    | flags.ATTRIB
    | flags.MOVE_SELF
    | flags.ONLYDIR
    | flags.DONT_FOLLOW
    # A writer of a file that was unlinked or replaced must not be taken for one of its successor.
    | flags.EXCL_UNLINK
)
SELF_TEST_SECONDS: Final = 1.0
"""An event arrives within microseconds; a second leaves room for a machine under load."""
_LIMITS: Final = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Kind(Enum):
    """What happened to a path."""

    CLOSED = auto()
    """A writer closed it."""
    ARRIVED = auto()
    """It was renamed or linked into place, or found in a new directory."""
    WRITING = auto()
    """It was opened anew or written to."""
    TOUCHED = auto()
    """Its attributes changed."""
    GONE = auto()
    """It was deleted or renamed away."""
    DIRECTORY_GONE = auto()
    """So was the directory that held files right below it."""
    DIRECTORY_ARRIVED = auto()
    """A directory was renamed into place; what it holds follows."""
    OVERFLOW = auto()
    """Events were lost: only a reconcile knows what happened."""
    ROOT_GONE = auto()
    """The outputs path itself was deleted, renamed or unmounted."""
    ELSEWHERE = auto()
    """Something happened in a directory that ``watch_elsewhere`` named."""


class Change(NamedTuple):
    """One thing that happened. ``origin`` is where a file was renamed from, if that was inside."""

    kind: Kind
    path: RelPath = RelPath("")
    origin: RelPath | None = None


class _Node:
    """A watched directory. Paths are found by going up, so a rename of a large tree costs nothing."""

    __slots__ = ("children", "name", "parent", "wd")

    def __init__(self, wd: int, name: str) -> None:
        self.wd = wd
        self.name = name
        self.parent: _Node | None = None
        self.children: dict[str, _Node] = {}


class Watcher:
    """One inotify instance over one tree. ``watch`` may be called from any thread."""

    def __init__(self, root: str, names: Names, *, is_off: bool = False) -> None:
        """``is_off``: the kernel isn't asked for anything, all is unwatched."""
        self._root = root
        self._names = names
        self._lock = threading.RLock()
        self._nodes: dict[int, _Node] = {}
        self._top: _Node | None = None
        self._elsewhere: set[int] = set()
        self._above: int | None = None
        self._moved: dict[int, RelPath] = {}
        self._moved_before: dict[int, RelPath] = {}
        self._leaving: dict[int, tuple[_Node, RelPath]] = {}
        self._leaving_before: dict[int, tuple[_Node, RelPath]] = {}
        self.unwatched: set[RelPath] = set()
        """The directories for which the kernel gave no watch. What is below them has none either."""
        self._inotify: INotify | None = None
        if is_off:
            self.unwatched.add(RelPath(""))
            return
        try:
            self._inotify = INotify(nonblocking=True)
        except OSError as error:
            if error.errno not in _LIMITS:
                raise
            self.unwatched.add(RelPath(""))

    def fileno(self) -> int | None:
        """What to poll for input; ``None`` where the kernel gave no instance."""
        return self._inotify.fileno() if self._inotify else None

    def close(self) -> None:
        """Give the instance back."""
        if self._inotify:
            self._inotify.close()

    def watch(self, directory: RelPath) -> bool:
        """
        See to it that this directory is watched, under this path. False where the kernel has no watch
        to give, or there is no such directory. Parents come first.
        """
        if self._inotify is None:
            return False
        parent_path, _, name = directory.rpartition("/")
        with self._lock:
            parent = self._at(RelPath(parent_path)) if directory else None
            if directory and parent is None:
                return False
            wd = self._add(os.path.join(self._root, directory) if directory else self._root)
            if wd is None:
                self.unwatched.discard(directory)
                return False
            if wd < 0:
                self.unwatched.add(directory)
                return False
            self.unwatched.discard(directory)
            node = self._nodes.get(wd) or _Node(wd, name)
            self._nodes[wd] = node
            if parent is None:
                self._top = node
                self._watch_above()
            else:
                self._attach(node, parent, name)
            return True

    def is_watched(self, directory: RelPath) -> bool:
        """Whether events tell of what happens right in this directory, as far as the kernel was asked."""
        with self._lock:
            return self._at(directory) is not None

    def watch_elsewhere(self, directory: str) -> bool:
        """Tell with ``ELSEWHERE`` when something happens right inside ``directory``, inside or not."""
        if self._inotify is None:
            return False
        with self._lock:
            wd = self._add(directory, MASK | flags.MASK_ADD)
            if wd is None or wd < 0:
                return False
            self._elsewhere.add(wd)
            return True

    def read(self) -> Iterator[Change]:
        """What happened since the last call, in order; never waits."""
        if self._inotify is None:
            return
        self._expire_moves()
        last: Event | None = None
        for event in self._inotify.read(timeout=0):
            if event == last and event.mask == flags.MODIFY:
                continue
            last = event
            if event.mask & flags.Q_OVERFLOW:
                yield Change(Kind.OVERFLOW)
                continue
            if event.wd in self._elsewhere:
                yield Change(Kind.ELSEWHERE)
            if event.wd == self._above:
                yield from self._of_parent(event)
            yield from self._of_tree(event)

    # Events

    def _of_tree(self, event: Event) -> Iterator[Change]:
        node = self._nodes.get(event.wd)
        if node is None:
            return
        if event.mask & (flags.IGNORED | flags.UNMOUNT | flags.MOVE_SELF):
            yield from self._of_directory_itself(event, node)
            return
        path = self._path_of(node, event.name)
        if path is None or not event.name:
            return
        directory = bool(event.mask & flags.ISDIR)
        if self._names.is_left_out(path, directory=directory):
            return
        if directory:
            yield from self._of_subdirectory(event, node, path)
        else:
            yield from self._of_file(event, path)

    def _of_parent(self, event: Event) -> Iterator[Change]:
        """A directory that someone has open, as the holder of its lock does, never tells its own end."""
        is_root = event.name == os.path.basename(self._root)
        if is_root and event.mask & (flags.DELETE | flags.MOVED_FROM) and self._top is not None:
            with self._lock:
                self._forget(self._top)
                self._top = None
            yield Change(Kind.ROOT_GONE)

    def _of_directory_itself(self, event: Event, node: _Node) -> Iterator[Change]:
        if node is self._top:
            with self._lock:
                self._forget(node)
                self._top = None
            yield Change(Kind.ROOT_GONE)
        elif event.mask & flags.IGNORED:  # deleted, and the kernel has taken its watch back
            with self._lock:
                self._nodes.pop(event.wd, None)
                self._detach(node)

    def _of_subdirectory(self, event: Event, parent: _Node, path: RelPath) -> Iterator[Change]:
        if event.mask & flags.MOVED_FROM:
            node = parent.children.get(event.name)
            if node is None:
                yield Change(Kind.DIRECTORY_GONE, path)
                return
            with self._lock:
                left = [self._path_of(below) for below in self._below(node)]
                self._detach(node)
                self._leaving[event.cookie] = (node, path)
            for below_path in left:
                if below_path is not None:
                    yield Change(Kind.DIRECTORY_GONE, below_path)
        elif event.mask & flags.MOVED_TO:
            leaving = self._leaving.pop(event.cookie, None)
            leaving = leaving or self._leaving_before.pop(event.cookie, None)
            if leaving:
                with self._lock:
                    self._attach(leaving[0], parent, event.name)
            yield Change(Kind.DIRECTORY_ARRIVED, path)
            yield from self._scan(path, leaving[1] if leaving else None)
        elif event.mask & flags.CREATE:
            yield from self._scan(path, None)
        elif event.mask & flags.DELETE:
            yield Change(Kind.DIRECTORY_GONE, path)

    def _of_file(self, event: Event, path: RelPath) -> Iterator[Change]:
        mask = event.mask
        if mask & flags.CLOSE_WRITE:
            yield Change(Kind.CLOSED, path)
        elif mask & flags.MODIFY:
            yield Change(Kind.WRITING, path)
        elif mask & flags.MOVED_TO:
            origin = self._moved.pop(event.cookie, None)
            origin = origin or self._moved_before.pop(event.cookie, None)
            yield Change(Kind.ARRIVED, path, origin)
        elif mask & flags.MOVED_FROM:
            self._moved[event.cookie] = path
            yield Change(Kind.GONE, path)
        elif mask & flags.DELETE:
            yield Change(Kind.GONE, path)
        elif mask & flags.CREATE:
            kind = self._created(path)
            if kind:
                yield Change(kind, path)
        elif mask & flags.ATTRIB:
            yield Change(Kind.TOUCHED, path)

    def _created(self, path: RelPath) -> Kind | None:
        """A new name is a file just opened, whose close follows, or a link, after which nothing does."""
        try:
            status = os.lstat(os.path.join(self._root, path))
        except OSError:
            return None
        if stat.S_ISLNK(status.st_mode):
            return Kind.ARRIVED
        if not stat.S_ISREG(status.st_mode):
            return None
        return Kind.WRITING if status.st_nlink == 1 and status.st_size == 0 else Kind.ARRIVED

    def _scan(self, directory: RelPath, origin: RelPath | None) -> Iterator[Change]:
        """Watch, then look: files may be there before the watch is, and all that is there is new."""
        pending = [(directory, origin)]
        while pending:
            path, came_from = pending.pop()
            self.watch(path)
            try:
                entries = os.scandir(os.path.join(self._root, path))
            except OSError:  # gone again, or a reconcile will name it
                continue
            with entries:
                for entry in entries:
                    below = RelPath(f"{path}/{entry.name}")
                    was = RelPath(f"{came_from}/{entry.name}") if came_from is not None else None
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if self._names.is_left_out(below, directory=is_directory):
                        continue
                    if is_directory:
                        pending.append((below, was))
                    elif entry.is_file(follow_symlinks=False) or entry.is_symlink():
                        yield Change(Kind.ARRIVED, below, was)

    def _expire_moves(self) -> None:
        """The other half of a rename comes at once, so two reads later it went out of the tree."""
        self._moved_before, self._moved = self._moved, {}
        gone, self._leaving_before, self._leaving = self._leaving_before, self._leaving, {}
        with self._lock:
            for node, _ in gone.values():
                self._forget(node)

    # The tree

    def _watch_above(self) -> None:
        above = os.path.dirname(self._root)
        if above != self._root:
            self._above = self._add(above, flags.DELETE | flags.MOVED_FROM | flags.MASK_ADD)

    def _add(self, path: str, mask: int = MASK) -> int | None:
        """A watch descriptor; -1 where the kernel has none to give; ``None`` without such a directory."""
        assert self._inotify is not None  # noqa: S101 - the callers asked
        try:
            wd: int = self._inotify.add_watch(path, mask)
        except OSError as error:
            if error.errno in _LIMITS or error.errno == errno.EACCES:
                return -1
            return None
        return wd

    def _at(self, directory: RelPath) -> _Node | None:
        node = self._top
        if directory:
            for name in directory.split("/"):
                node = node.children.get(name) if node else None
        return node

    def _path_of(self, node: _Node, name: str = "") -> RelPath | None:
        """``None`` for a directory that is on its way out of the tree."""
        names = [name] if name else []
        at: _Node | None = node
        while at is not None and at is not self._top:
            names.append(at.name)
            at = at.parent
        return RelPath("/".join(reversed(names))) if at is not None else None

    def _below(self, node: _Node) -> Iterator[_Node]:
        pending = [node]
        while pending:
            at = pending.pop()
            yield at
            pending.extend(at.children.values())

    def _attach(self, node: _Node, parent: _Node, name: str) -> None:
        if node.parent is parent and parent.children.get(name) is node:
            return
        self._detach(node)
        node.parent, node.name = parent, name
        parent.children[name] = node

    def _detach(self, node: _Node) -> None:
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]
        node.parent = None

    def _forget(self, node: _Node) -> None:
        """Drop a directory and all below it, and give their watches back."""
        for below in list(self._below(node)):
            if self._nodes.pop(below.wd, None) is not None and self._inotify:
                try:
                    self._inotify.rm_watch(below.wd)
                except OSError as error:
                    if error.errno != errno.EINVAL:  # the kernel was quicker
                        raise
        self._detach(node)


def events_arrive(directory: str) -> bool | None:
    """
    Whether the kernel tells of a file made in ``directory``: some network and sandbox filesystems don't.
    ``None`` where that can't be tried, because nothing may be written there.
    """
    probe = Path(directory) / f".lighterman-probe-{os.getpid()}.tmp"
    try:
        with INotify() as inotify:
            inotify.add_watch(directory, flags.CREATE | flags.DELETE)
            probe.touch()
            probe.unlink()
            return bool(inotify.read(timeout=int(SELF_TEST_SECONDS * 1000)))
    except OSError:
        return None
