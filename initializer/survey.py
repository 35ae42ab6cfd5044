"""Looks at what is declared and at what is on disk, and makes the plan. No file is written yet."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from initializer import place
from initializer.archives.forms import form_of
from initializer.choice import Choice
from initializer.entries import Entry, Pair
from initializer.large import RANGE_BYTES
from initializer.listing import UnsortedError, in_order, put_in_order
from initializer.look import Sought, look_at
from initializer.plan import (
    Disk,
    Fetch,
    MakeDirectory,
    Refuse,
    Stream,
    Wanted,
    merged,
    plan,
    wanted,
)
from initializer.refusals import Refusals
from initializer.source import Source
from initializer.space import Needs
from initializer.spool import Spool
from lighterman.errors import DeadlineError
from lighterman.stores.contract import Listed, Store
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

if TYPE_CHECKING:
    from initializer.archives.unpacking import Unpacking

_Listing: TypeAlias = Callable[[Store, str, Attempts], Iterator[list[Listed]]]


class Declared(NamedTuple):
    """One entry, with the numbers of its store and of its destination."""

    entry: Entry
    store: int
    root: int


class Surveyed(NamedTuple):
    """A plan that nothing stands against."""

    spool: Spool
    files: int
    size_bytes: int
    kept: int


class _Directory:
    """One declared directory, or a connection's whole root."""

    def __init__(self, declared: Declared, pair: Pair, source: Source, root: str) -> None:
        self._declared = declared
        self._store = source.store
        key = source.key(pair.source)
        self._prefix = f"{key}/" if key else ""
        self.base = f"{root}/{pair.target}/" if pair.target else f"{root}/"
        self.choice = Choice(declared.entry.include, declared.entry.exclude)
        connection = declared.entry.connection
        self.source = (f"{pair.source}/" if pair.source else connection), connection
        self.is_missing = not declared.entry.optional

    def items(self, listing: _Listing, attempts: Attempts) -> Iterator[Wanted]:
        entry, store, root = self._declared
        pages = listing(self._store, self._prefix, attempts)
        if self.choice:
            pages = self.choice.of(pages, self._prefix)
        for item in wanted(pages, self._prefix, self.base, root, store):
            # Its own marker is no choice: where all else is left out, nothing that was asked for is there.
            if item.path != self.base or not self.choice:
                self.is_missing = False
            yield _formed(item, entry) if entry.unpack else item


class Survey:
    """Asks each store for its objects and the disk for what is there. ``roots`` must be there."""

    def __init__(
        self,
        declared: Sequence[Declared],
        sources: Sequence[Source],
        roots: Sequence[str],
        disk: Disk,
        *,
        state_directory: str,
        attempts: Attempts,
        tally: Tally,
        stop: threading.Event,
        unpacking: "Unpacking | None" = None,
    ) -> None:
        self._unpacking = unpacking
        self._declared = declared
        self._sources = sources
        self._roots = roots
        self._disk = disk
        self._state_directory = state_directory
        self._attempts = attempts
        self._tally = tally
        self._stop = stop

    def make(self) -> Surveyed:
        """
        The plan. One error tells of everything that is missing, or of everything that is refused;
        ``CannotWriteError`` when it doesn't fit. By then the listings are complete, and nothing was fetched.
        """
        files: list[Wanted] = []
        directories: list[_Directory] = []
        missing: list[tuple[str, str]] = []
        for declared, sought, listed in look_at(self._sought(), self._attempts):
            if listed is not None:
                path = f"{self._roots[declared.root]}/{sought.target}"
                item = Wanted(path, declared.root, declared.store, listed)
                files.append(_formed(item, declared.entry))
            elif sought.may_be_prefix:
                directories.append(self._directory(declared, Pair("", "")))
            elif not declared.entry.optional:
                missing.append((sought.name, declared.entry.connection))
        for declared in self._declared:
            directories += [self._directory(declared, pair) for pair in declared.entry.dirs]
        try:
            return self._planned(files, directories, missing, in_order)
        except UnsortedError:
            listing = partial(put_in_order, directory=self._state_directory)
            return self._planned(files, directories, missing, listing)

    def _sought(self) -> Iterator[tuple[Declared, Sought]]:
        for declared in self._declared:
            source = self._sources[declared.store]
            for pair in declared.entry.files:
                yield declared, Sought(source, source.key(pair.source), pair.source, pair.target)
            if declared.entry.is_whole:
                yield declared, Sought.place(source, declared.entry)

    def _directory(self, declared: Declared, pair: Pair) -> _Directory:
        return _Directory(declared, pair, self._sources[declared.store], self._roots[declared.root])

    def _planned(
        self,
        files: list[Wanted],
        directories: list[_Directory],
        missing: list[tuple[str, str]],
        listing: _Listing,
    ) -> Surveyed:
        streams = [Stream(item.path, partial(_one, item)) for item in files]
        streams += [
            Stream(directory.base, partial(directory.items, listing, self._attempts))
            for directory in directories
        ]
        refusals, needs, spool = Refusals(), Needs(self._roots), Spool(self._state_directory)
        count = size_bytes = kept = 0
        actions = plan(merged(streams), self._roots, self._disk)
        for action in self._unpacking.through(actions) if self._unpacking else actions:
            if self._stop.is_set():
                raise DeadlineError(
                    "told to stop before anything was fetched", hint="start it again"
                )
            if isinstance(action, Fetch):
                count += 1
                size_bytes += action.size_bytes
                needs.add(action.root, action.size_bytes - _there_bytes(action))
                if not action.form:
                    spool.add(action)
            elif isinstance(action, MakeDirectory):
                spool.add(action)
            elif isinstance(action, Refuse):
                refusals.add(action)
            elif not action.path.endswith("/"):
                kept += 1
        refusals.missing(missing)
        for directory in directories:
            if directory.is_missing:
                refusals.missing([directory.source], left_out=directory.choice.left_out)
        refusals.raise_any(self._tally)
        needs.require()
        return Surveyed(spool, count, size_bytes, kept)


def _formed(item: Wanted, entry: Entry) -> Wanted:
    form = form_of(item.listed.key, entry.unpack)
    return item._replace(form=form) if form else item


def _there_bytes(action: Fetch) -> int:
    """What a large file that came a part of the way has of its space already."""
    if action.size_bytes <= RANGE_BYTES:
        return 0
    return min(action.size_bytes, place.allocated_bytes(place.temporary_of(action.path)))


def _one(item: Wanted) -> Iterator[Wanted]:
    yield item
