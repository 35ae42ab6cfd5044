"""What is to be read of one connection: listed, there, not archived, and one range of it really read."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from initializer.entries import Entry
from initializer.space import Need, rounded
from lighterman.checking.findings import Findings, State
from lighterman.checking.permissions import needed
from lighterman.checking.probe import NAME, memory_file
from lighterman.checking.subjects import Wanted
from lighterman.connections.model import Connection
from lighterman.errors import (
    CredentialsError,
    DeadlineError,
    LightermanError,
    SourceChangedError,
    SourceMissingError,
)
from lighterman.stores.contract import ETag, Key, Listed, Store
from lighterman.transfer.retry import Attempts

T = TypeVar("T")

MOST_COUNTED: Final = 100_000
"""So many objects of one declared directory are counted, which takes a second or two; the rest isn't waited for."""
_BLOCK_BYTES: Final = 4096
_NAMED: Final = 3


class Needed(NamedTuple):
    """What init would still have to write below one destination."""

    need: Need
    is_at_least: bool = False
    """Not everything was counted."""

    def plus(self, other: "Needed") -> "Needed":
        """Both of them."""
        size_bytes = self.need.size_bytes + other.need.size_bytes
        need = Need(size_bytes, self.need.files + other.need.files)
        return Needed(need, self.is_at_least or other.is_at_least)


class Sources:
    """The checks of what is read. ``needs`` is known afterwards, by destination."""

    def __init__(
        self, wanted: Wanted, findings: Findings, attempts: Attempts, stop: threading.Event
    ) -> None:
        self._wanted = wanted
        self._findings = findings
        self._attempts = attempts
        self._stop = stop
        self.needs: dict[str, Needed] = {}
        self._sample: tuple[Key, ETag] | None = None
        """An object that has bytes to read."""
        self._archived: list[Key] = []
        self._missing: list[str] = []

    def run(self, connection: Connection, store: Store) -> bool:
        """Whether the connection can be talked to: what else there is to try makes sense."""
        self._connection = connection
        self._store = store
        try:
            said = self._look()
        except DeadlineError:
            raise
        except LightermanError as error:
            self._failed("list", error)
            return False
        self._findings.tell(connection.name, "list", State.OK, said)
        self._tell_absent()
        if self._wanted.entries or not self._wanted.prefixes:
            self._read()
        return True

    def _look(self) -> str:
        """List, or look at, everything that is declared; what was seen."""
        below = f"{self._store.prefix}/" if self._store.prefix else ""
        seen = []
        for to in self._wanted.prefixes:
            prefix = f"{below}{to}/" if to else below
            seen.append(self._first_page(prefix))
        seen += [self._entry(entry, below) for entry in self._wanted.entries]
        return "; ".join(seen) or self._first_page(below)

    def _first_page(self, prefix: str) -> str:
        page = self._call(f"list {prefix}", lambda: next(iter(self._store.pages(prefix)), []))
        for listed in page:
            self._see(listed)
        count = f"{len(page)} objects on the first page" if page else "nothing is there yet"
        return f"{count} below {prefix or 'the root'}"

    def _entry(self, entry: Entry, below: str) -> str:
        if entry.is_whole:
            bare = below.removesuffix("/")
            if entry.connection.endswith("/") or "://" not in entry.connection or not bare:
                return self._directory(entry, below, entry.destination, entry.connection)
            return self._object_or_directory(entry, Key(bare), below)
        seen = [
            self._directory(
                entry,
                f"{below}{pair.source}/" if pair.source else below,
                f"{entry.destination}/{pair.target}",
                pair.source or ".",
            )
            for pair in entry.dirs
        ]
        for pair in entry.files:
            self._file(entry, Key(f"{below}{pair.source}"), pair.source, pair.target)
        if entry.files:
            seen.append(f"looked at {len(entry.files)} declared files")
        return ", ".join(seen)

    def _object_or_directory(self, entry: Entry, key: Key, below: str) -> str:
        """A URI may name one object, else a prefix."""
        if self._stat(key) is not None:
            self._file(entry, key, entry.connection, key.rpartition("/")[2])
            return f"{key} is an object"
        return self._directory(entry, below, entry.destination, entry.connection)

    def _directory(self, entry: Entry, prefix: str, target: str, name: str) -> str:
        count = size_bytes = files = 0
        for listed in self._listed(prefix):
            count += 1
            self._see(listed, is_declared=True)
            if not self._is_there(f"{target}/{listed.key[len(prefix) :]}", listed.size_bytes):
                size_bytes += rounded(listed.size_bytes, _BLOCK_BYTES)
                files += 1
            if count == MOST_COUNTED:
                break
        if not count and not entry.optional:
            self._missing.append(name)
        at_least = count == MOST_COUNTED
        self._need(entry.destination, Needed(Need(size_bytes, files), at_least))
        return f"{name}: {'at least ' if at_least else ''}{count} objects"

    def _file(self, entry: Entry, key: Key, name: str, target: str) -> None:
        found = self._stat(key)
        if found is None:
            if not entry.optional:
                self._missing.append(name)
            return
        self._see(found, is_declared=True)
        if not self._is_there(f"{entry.destination}/{target}", found.size_bytes):
            size_bytes = rounded(found.size_bytes, _BLOCK_BYTES)
            self._need(entry.destination, Needed(Need(size_bytes, 1)))

    def _stat(self, key: Key) -> Listed | None:
        try:
            found = self._call(f"stat {key}", lambda: self._store.stat(key))
        except SourceMissingError:
            return None
        return Listed(key, found.size_bytes, found.etag, found.modified_seconds, found.archived)

    def _listed(self, prefix: str) -> Iterator[Listed]:
        pages = self._store.pages(prefix)
        while (page := self._call(f"list {prefix}", lambda: next(pages, None))) is not None:
            yield from page

    def _see(self, listed: Listed, *, is_declared: bool = False) -> None:
        if listed.archived:
            if is_declared:
                self._archived.append(listed.key)
        elif self._sample is None and listed.size_bytes and NAME not in listed.key:
            self._sample = listed.key, listed.etag

    def _is_there(self, path: str, size_bytes: int) -> bool:
        """Whether init seems to have brought it already: then it takes no more space."""
        try:
            return os.path.getsize(path) == size_bytes
        except OSError:
            return False

    def _need(self, destination: str, needed: Needed) -> None:
        before = self.needs.get(destination)
        self.needs[destination] = before.plus(needed) if before else needed

    def _tell_absent(self) -> None:
        name = self._connection.name
        if self._missing:
            error = SourceMissingError(
                f"not there: {_some(self._missing)}",
                hint="correct the job spec, bring them there, or mark the entry optional",
                connection=name,
                key=self._missing[0],
            )
            self._findings.failed(name, "sources", error)
        if self._archived:
            error = SourceMissingError(
                f"archived, so that they can't be read: {_some(self._archived)}",
                hint="restore them first",
                connection=name,
                key=self._archived[0],
            )
            self._findings.failed(name, "sources", error)

    def _read(self) -> None:
        name = self._connection.name
        if self._sample is None:
            self._findings.tell(name, "read", State.SKIPPED, "there is nothing with bytes to read")
            return
        key, etag = self._sample
        try:
            with memory_file(size_bytes=1) as window:
                self._call(
                    f"get {key}", lambda: self._store.read_into(key, window, at=0, etag=etag)
                )
        except SourceChangedError:  # replaced since it was listed: it could be read, then
            self._findings.tell(name, "read", State.SKIPPED, f"{key} is being replaced just now")
        except LightermanError as error:
            self._failed("read", error)
        else:
            self._findings.tell(name, "read", State.OK, f"the first byte of {key}")

    def _call(self, what: str, operation: Callable[[], T]) -> T:
        if self._stop.is_set():
            raise DeadlineError("told to stop before all was checked", hint="start it again")
        return self._attempts.call(what, operation)

    def _failed(self, check: str, error: LightermanError) -> None:
        is_refused = isinstance(error, CredentialsError)
        hint = needed(self._connection.kind, check) if is_refused else ""
        self._findings.failed(self._connection.name, check, error, hint)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
