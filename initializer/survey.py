"""Looks at what is declared and at what is on disk, and makes the plan. No file is written yet."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from initializer import place
from initializer.ahead import MOST_LISTERS, Ahead, Listing
from initializer.archives.forms import form_of
from initializer.choice import Choice
from initializer.entries import Entry, Pair
from initializer.folding import Apart, Folding
from initializer.large import RANGE_BYTES
from initializer.listing import UnsortedError, put_in_order
from initializer.look import Sought, look_at
from initializer.plan import (
    Action,
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
from initializer.shards import Share
from initializer.source import Source
from initializer.space import Needs
from initializer.spool import Spool
from lighterman.errors import DeadlineError
from lighterman.stores.contract import Listed
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Sharded, Tally

if TYPE_CHECKING:
    from initializer.archives.unpacking import Unpacking

_Pages: TypeAlias = Callable[[int], Iterator[list[Listed]]]
"""The pages of the declared directory of that number."""


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
    shards: list[Sharded]


class Told(Protocol):
    """Whoever wants to see the plan while it is made."""

    def begin(self) -> None: ...
    def action(self, action: Action) -> None: ...
    def end(self, missing: Iterable[tuple[str, str]], needs: Needs) -> None: ...


class _Nobody:
    """Nobody looks."""

    def begin(self) -> None:
        """Nothing is shown."""

    def action(self, action: Action) -> None:
        """Nothing is shown."""

    def end(self, missing: Iterable[tuple[str, str]], needs: Needs) -> None:
        """Nothing is shown."""


class _Directory:
    """One declared directory, or a connection's whole root."""

    def __init__(
        self, declared: Declared, pair: Pair, source: Source, root: str, share: Share | None
    ) -> None:
        self._declared = declared
        key = source.key(pair.source)
        self._manifests = source.checksums.manifests
        self.listing = Listing(source.store, f"{key}/" if key else "")
        self.base = f"{root}/{pair.target}/" if pair.target else f"{root}/"
        self.choice = Choice(declared.entry.include, declared.entry.exclude)
        connection = declared.entry.connection
        self.source = (f"{pair.source}/" if pair.source else connection), connection
        self.is_missing = not declared.entry.optional
        self._share = share

    def items(self, pages: Iterator[list[Listed]]) -> Iterator[Wanted]:
        entry, store, root = self._declared
        prefix = self.listing.prefix
        pages = self._manifests.watched(pages)
        if self.choice:
            pages = self.choice.of(pages, prefix)
        for item in wanted(pages, prefix, self.base, root, store, self._share):
            # Its own marker is no choice: where all else is left out, nothing that was asked for is there.
            if item.path != self.base or not self.choice:
                self.is_missing = False
            yield _formed(item, entry) if entry.unpack else item

    def begin_again(self) -> None:
        """Its listing is asked for once more."""
        entry = self._declared.entry
        self.choice = Choice(entry.include, entry.exclude)
        self.is_missing = not entry.optional


class Survey:
    """Asks each store for its objects and the disk for what is there. ``roots`` must be there."""

    def __init__(
        self,
        declared: Sequence[Declared],
        sources: Sequence[Source],
        roots: Sequence[str],
        disk: Disk,
        *,
        outputs: frozenset[int] = frozenset(),
        told: Told | None = None,
        foldings: Sequence[Folding] = (),
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
        self._outputs = outputs
        self._told = told or _Nobody()
        self._foldings = foldings
        self._state_directory = state_directory
        self._attempts = attempts
        self._tally = tally
        self._stop = stop
        self._shares = {
            id(one): Share(one.entry.connection, one.entry.shard)
            for one in declared
            if one.entry.shard
        }

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
                share = self._share_of(declared)
                item = Wanted(path, declared.root, declared.store, listed, share)
                files.append(_formed(item, declared.entry))
            elif sought.may_be_prefix:
                directories.append(self._directory(declared, Pair("", "")))
            elif not declared.entry.optional:
                missing.append((sought.name, declared.entry.connection))
        for declared in self._declared:
            directories += [self._directory(declared, pair) for pair in declared.entry.dirs]
        directories.sort(key=attrgetter("base"))
        listings = [directory.listing for directory in directories]

        def sorted_pages(number: int) -> Iterator[list[Listed]]:
            store, prefix = listings[number]
            return put_in_order(store, prefix, self._attempts, self._state_directory)

        workers = max((one.entry.workers for one in self._declared), default=1)
        try:
            with Ahead(
                listings,
                self._attempts,
                self._state_directory,
                most_listers=min(MOST_LISTERS, workers),
            ) as ahead:
                return self._spooled(files, directories, missing, ahead.pages)
        except UnsortedError:
            self._begin_again(directories)
            return self._spooled(files, directories, missing, sorted_pages)

    def _spooled(
        self,
        files: list[Wanted],
        directories: list[_Directory],
        missing: list[tuple[str, str]],
        pages: _Pages,
    ) -> Surveyed:
        with ExitStack() as held:
            spool = Spool(self._state_directory)
            held.callback(spool.close)
            surveyed = self._planned(files, directories, missing, pages, spool)
            held.pop_all()
            return surveyed

    def _sought(self) -> Iterator[tuple[Declared, Sought]]:
        for declared in self._declared:
            source = self._sources[declared.store]
            for pair in declared.entry.files:
                yield declared, Sought(source, source.key(pair.source), pair.source, pair.target)
            if declared.entry.is_whole:
                yield declared, Sought.place(source, declared.entry)

    def _directory(self, declared: Declared, pair: Pair) -> _Directory:
        source, root = self._sources[declared.store], self._roots[declared.root]
        return _Directory(declared, pair, source, root, self._share_of(declared))

    def _share_of(self, declared: Declared) -> Share | None:
        return self._shares.get(id(declared))

    def _planned(
        self,
        files: list[Wanted],
        directories: list[_Directory],
        missing: list[tuple[str, str]],
        pages: _Pages,
        spool: Spool,
    ) -> Surveyed:
        streams = [Stream(item.path, partial(_one, item)) for item in files]
        streams += [
            Stream(directory.base, partial(_listed, directory, pages, number))
            for number, directory in enumerate(directories)
        ]
        outcome = _Outcome(self._roots, spool)
        self._told.begin()
        actions = plan(merged(streams), self._roots, self._disk, self._outputs)
        if any(map(any, self._foldings)):
            actions = Apart(self._roots, self._foldings).checked(actions)
        for action in self._unpacking.through(actions) if self._unpacking else actions:
            if self._stop.is_set():
                raise DeadlineError(
                    "told to stop before anything was fetched", hint="start it again"
                )
            self._told.action(action)
            outcome.take(action)
        for source in self._sources:
            for refusal in source.checksums.manifests.refusals():
                self._told.action(refusal)
                outcome.take(refusal)
        absent = [one for one in directories if one.is_missing]
        outcome.refusals.missing(missing)
        for directory in absent:
            outcome.refusals.missing([directory.source], left_out=directory.choice.left_out)
        self._told.end([*missing, *(one.source for one in absent)], outcome.needs)
        outcome.refusals.raise_any(self._tally)
        outcome.needs.require()
        shards = [share.told() for share in self._shares.values()]
        return Surveyed(spool, outcome.files, outcome.size_bytes, outcome.kept, shards)

    def _begin_again(self, directories: Sequence[_Directory]) -> None:
        for share in self._shares.values():
            share.begin_again()
        for source in self._sources:
            source.checksums.manifests.begin_again()
        for directory in directories:
            directory.begin_again()


class _Outcome:
    """What comes of a plan: what is to be done, what stands against it, what it needs, how much it is."""

    def __init__(self, roots: Sequence[str], spool: Spool) -> None:
        self.refusals = Refusals()
        self.needs = Needs(roots)
        self.files = self.size_bytes = self.kept = 0
        self._spool = spool

    def take(self, action: Action) -> None:
        if isinstance(action, Fetch):
            self.files += 1
            self.size_bytes += action.size_bytes
            self.needs.add(action.root, action.size_bytes - _there_bytes(action))
            if not action.form:  # archives are fetched by who unpacks them
                self._spool.add(action)
        elif isinstance(action, MakeDirectory):
            self._spool.add(action)
        elif isinstance(action, Refuse):
            self.refusals.add(action)
        elif not action.path.endswith("/"):
            self.kept += 1


def _formed(item: Wanted, entry: Entry) -> Wanted:
    form = form_of(item.listed.key, entry.unpack)
    return item._replace(form=form) if form else item


def _there_bytes(action: Fetch) -> int:
    """What a large file that came a part of the way has of its space already."""
    if action.size_bytes <= RANGE_BYTES:
        return 0
    return min(action.size_bytes, place.allocated_bytes(place.temporary_of(action.path)))


def _listed(directory: _Directory, pages: _Pages, number: int) -> Iterator[Wanted]:
    return directory.items(pages(number))


def _one(item: Wanted) -> Iterator[Wanted]:
    yield item
