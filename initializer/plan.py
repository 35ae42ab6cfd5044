"""
From what is wanted and what is on disk to what is to be done. Pure: nothing here reads or writes.

Everything flows in the byte order of the paths, one item at a time: ten million keys need no more
memory than ten do.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from operator import attrgetter
from typing import NamedTuple, Protocol, TypeAlias

from initializer.keys import Clash, Clashes, why_path_refused, why_unsafe
from initializer.shards import Share
from lighterman.errors import (
    CannotWriteError,
    LightermanError,
    SourceMissingError,
    UntrustedDataError,
)
from lighterman.stores.contract import Checksum, ETag, Key, Listed


class Wanted(NamedTuple):
    """One object and where it is to go."""

    path: str
    """Absolute; a directory's ends with ``/``."""
    root: int
    """Which of the destinations it lies below."""
    store: int
    """Which of the stores it comes from."""
    listed: Listed
    share: Share | None = None
    """Decides whether it comes to this pod, where the entry is sharded."""
    form: str = ""
    """How it is packed, if not it but what it holds is wanted."""


class Stream(NamedTuple):
    """Wanted things in order. Nothing is read before it is their turn."""

    base: str
    """A file's path, or a directory's with its ``/``, below which everything lies."""
    items: Callable[[], Iterator[Wanted]]


class Fetch(NamedTuple):
    """Bring an object to ``path``."""

    path: str
    root: int
    store: int
    key: Key
    size_bytes: int
    etag: ETag
    modified_seconds: float
    checksum: Checksum | None = None
    form: str = ""
    """How it is packed, if what it holds is to be unpacked beside ``path``, where it itself doesn't stay."""


class MakeDirectory(NamedTuple):
    """Make the one directory ``path``; its parent is there, or made by an action before."""

    path: str


class Keep(NamedTuple):
    """What is at ``path`` is what is wanted."""

    path: str
    key: Key


class Refuse(NamedTuple):
    """``key`` can't come, and so nothing may."""

    key: Key
    reason: str
    error: type[LightermanError]


Action: TypeAlias = Fetch | MakeDirectory | Keep | Refuse


class Found(Enum):
    """What is on disk where a directory is wanted."""

    ABSENT = "nothing"
    DIRECTORY = "a directory inside the destination"
    LEAVES = "a symlink that leaves the destination"
    OTHER = "something else"


class Placed(NamedTuple):
    """One file as init left it."""

    size_bytes: int
    etag: str
    mtime_ns: int


class OnDisk(NamedTuple):
    """What is on disk where a file is wanted."""

    is_file: bool
    is_directory: bool
    size_bytes: int
    mtime_ns: int


class Disk(Protocol):
    """What the plan asks of the destinations. Asked in the order of the paths, never below what is absent."""

    def directory(self, root: int, path: str) -> Found:
        """What is at ``path``, which ends with ``/``; its parent is a directory."""
        ...

    def file(self, path: str) -> OnDisk | None:
        """What is at ``path``, not followed if it is a symlink; its parent is a directory."""
        ...

    def placed(self, root: int, path: str) -> Placed | None:
        """What an earlier run noted of ``path``."""
        ...


def wanted(
    pages: Iterable[list[Listed]],
    prefix: str,
    base: str,
    root: int,
    store: int,
    share: Share | None = None,
) -> Iterator[Wanted]:
    """What a listing of ``prefix`` wants at ``base``, which ends with ``/``. Keeps the order."""
    cut = len(prefix)
    for page in pages:
        for listed in page:
            yield Wanted(base + listed.key[cut:], root, store, listed, share)


def merged(streams: Sequence[Stream]) -> Iterator[Wanted]:
    """
    All streams as one, in order. A stream is begun when its turn comes: only those of which one's base
    is inside another's are open at once.
    """
    nested: list[Stream] = []
    for stream in sorted(streams, key=attrgetter("base")):
        if nested and not (nested[0].base.endswith("/") and stream.base.startswith(nested[0].base)):
            yield from _together(nested)
            nested = []
        nested.append(stream)
    yield from _together(nested)


def _together(streams: list[Stream]) -> Iterator[Wanted]:
    if len(streams) == 1:
        return streams[0].items()
    return heapq.merge(*(stream.items() for stream in streams), key=attrgetter("path"))


class _Directory(NamedTuple):
    path: str
    is_there: bool
    refusal: tuple[str, type[LightermanError]] | None


class _Planner:
    def __init__(self, roots: Sequence[str], disk: Disk, outputs: frozenset[int]) -> None:
        self._roots = roots
        self._outputs = outputs
        self._root_set = frozenset(roots)
        self._disk = disk
        self._clashes = Clashes()
        self._open: list[_Directory] = []
        self._told: list[Share | None] = []
        self._is_coming = False

    def actions(self, item: Wanted) -> Iterator[Action]:
        path, listed = item.path, item.listed
        root = self._roots[item.root]
        reason = why_unsafe(path[len(root) + 1 :]) or why_path_refused(path, self._root_set)
        if reason:
            yield Refuse(listed.key, reason, UntrustedDataError)
            return
        # As it is, and as what it holds, an object is two things.
        owner = (~item.store if item.form else item.store, listed.key)
        clash = self._clashes.add(path, owner)
        is_again = clash is not None and clash.path == path and clash.owner == owner
        comes = self._comes(item, is_again=is_again)
        if is_again and not comes:
            return
        refusal = _refusal(item, None if is_again else clash)
        if refusal:
            yield refusal
        elif comes:
            yield from self._coming(item)

    def _coming(self, item: Wanted) -> Iterator[Action]:
        path, listed = item.path, item.listed
        made, parent = self._entered(path[: path.rindex("/") + 1], item.root)
        if parent.refusal:
            yield Refuse(listed.key, *parent.refusal)
            return
        yield from made
        if path.endswith("/"):
            if not made:
                yield Keep(path, listed.key)
        else:
            yield self._file(item, parent)

    def _comes(self, item: Wanted, *, is_again: bool) -> bool:
        """Whether it comes to this pod, and isn't coming already. Each share is told of its files once."""
        share = item.share
        if not is_again:
            self._told = [share]
        elif share in self._told:
            return False
        else:
            self._told.append(share)
        comes = share is None or share.takes(item.listed, is_directory=item.path.endswith("/"))
        was_coming = is_again and self._is_coming
        self._is_coming = comes or was_coming
        return comes and not was_coming

    def _entered(self, path: str, root: int) -> tuple[list[MakeDirectory], _Directory]:
        opened = self._open
        while opened and not path.startswith(opened[-1].path):
            opened.pop()
        top = f"{self._roots[root]}/"
        if not opened or len(opened[-1].path) < len(top):
            opened.append(_Directory(top, is_there=True, refusal=None))
        made: list[MakeDirectory] = []
        while opened[-1].path != path:
            parent = opened[-1]
            child = path[: path.index("/", len(parent.path)) + 1]
            entered = self._directory(child, root, parent)
            if not entered.is_there and not entered.refusal:
                made.append(MakeDirectory(child))
            opened.append(entered)
        return made, opened[-1]

    def _directory(self, path: str, root: int, parent: _Directory) -> _Directory:
        if parent.refusal or not parent.is_there:
            return parent._replace(path=path)
        found = self._disk.directory(root, path)
        refusal: tuple[str, type[LightermanError]] | None = None
        if found is Found.LEAVES:
            refusal = f"{path[:-1]} is a symlink that leaves the destination", UntrustedDataError
        elif found is Found.OTHER:
            refusal = f"{path[:-1]} is there and no directory", CannotWriteError
        return _Directory(path, is_there=found is Found.DIRECTORY, refusal=refusal)

    def _file(self, item: Wanted, parent: _Directory) -> Action:
        path, root, store, listed, _, form = item
        on_disk = self._disk.file(path) if parent.is_there and not form else None
        if on_disk is not None:
            if on_disk.is_directory:
                return Refuse(listed.key, f"{path} is there and a directory", CannotWriteError)
            noted = self._disk.placed(root, path) if on_disk.is_file else None
            if noted == (on_disk.size_bytes, listed.etag, on_disk.mtime_ns) and (
                on_disk.size_bytes == listed.size_bytes
            ):
                return Keep(path, listed.key)
            if root in self._outputs and _is_mains(on_disk, noted):
                return Keep(path, listed.key)
        return Fetch(
            path,
            root,
            store,
            listed.key,
            listed.size_bytes,
            listed.etag,
            listed.modified_seconds,
            listed.checksum,
            form,
        )


def _refusal(item: Wanted, clash: Clash | None) -> Refuse | None:
    """What no pod may bring, whichever it would come to."""
    path, listed = item.path, item.listed
    if clash:
        if clash.path == path:
            why = f"{clash.owner[1]!r} goes to the same place"
        else:
            why = f"its directory is where the file of {clash.owner[1]!r} goes"
        return Refuse(listed.key, why, UntrustedDataError)
    if path.endswith("/"):
        if not listed.size_bytes:
            return None
        why = f"its name is a directory's, and it has {listed.size_bytes} bytes"
        return Refuse(listed.key, why, UntrustedDataError)
    if listed.archived:
        return Refuse(listed.key, "it is archived and must be restored first", SourceMissingError)
    return None


def _is_mains(on_disk: OnDisk, noted: Placed | None) -> bool:
    """Whether something isn't as init left it: then it is an output, and younger than its object."""
    return noted is None or (noted.size_bytes, noted.mtime_ns) != (
        on_disk.size_bytes,
        on_disk.mtime_ns,
    )


def plan(
    items: Iterable[Wanted],
    roots: Sequence[str],
    disk: Disk,
    outputs: frozenset[int] = frozenset(),
) -> Iterator[Action]:
    """
    The actions that bring ``items`` (in the order of their paths) below ``roots`` (absolute, without a
    slash at the end, and there). Each item gives one ``Fetch``, ``Keep``, ``MakeDirectory`` of its own
    path or ``Refuse``, except one that is declared twice or another shard's; other directories are made before
    what they hold. What is refused for its key or its place in the whole listing is refused in every shard.
    Below those roots that are ``outputs`` a file that init didn't place is kept, whatever the bucket has.
    """
    planner = _Planner(roots, disk, outputs)
    for item in items:
        yield from planner.actions(item)
