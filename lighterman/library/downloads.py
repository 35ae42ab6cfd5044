"""Downloads: an init of one entry, and a fetch of one file."""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress

from initializer import place
from initializer.entries import Entry as Declared
from initializer.entries import as_pair
from initializer.fetch import Fetcher
from initializer.job import carry_out
from initializer.large import RANGE_BYTES
from initializer.listing import pages_again
from initializer.plan import Fetch
from initializer.source import Opened, Source
from initializer.space import Needs
from initializer.state import NoNotes
from initializer.verify import Checksums
from lighterman.command import Context
from lighterman.errors import CannotWriteError, SourceMissingError, TransientError
from lighterman.library.line import Line, aside
from lighterman.library.told import Entry, Transferred
from lighterman.stores.contract import Stat
from lighterman.transfer.retry import Attempts


def download_dir(line: Line, prefix: str, path: str) -> Transferred:
    """See :meth:`lighterman.library.Place.download_dir`."""
    context = _context(line)
    entry = Declared(
        connection=line.connection.name,
        destination=os.path.abspath(path),
        dirs=(as_pair(prefix, ""),),
        workers=line.workers,
    )
    carry_out([entry], context, Opened(line.store, line.download_pace, line.budget))
    return Transferred.of(context.tally)


def download_file(line: Line, key: str, path: str) -> Transferred:
    """See :meth:`lighterman.library.Place.download_file`."""
    context = _context(line)
    path = os.path.abspath(path)
    aside(line, context.stop, lambda: _OneFile(line, context).bring(key, path))
    return Transferred.of(context.tally)


def listed(line: Line, prefix: str) -> Iterator[Entry]:
    """See :meth:`lighterman.library.Place.list`."""
    context = _context(line)
    root = line.key("")
    cut = len(root) + 1 if root else 0
    below = line.key(prefix.strip("/"))
    given, before, resumed_after, is_in_order = "", "", "", True
    for page, begins in pages_again(line.store, f"{below}/" if below else "", _attempts(context)):
        if begins:
            if given and not is_in_order:
                raise TransientError(
                    "the listing broke off, and what comes in no order can't be gone on with",
                    hint="list again",
                    connection=line.connection.name,
                )
            before, resumed_after = "", given
        for one in page:
            is_in_order = is_in_order and one.key > before
            before = one.key
            if one.key <= resumed_after:
                continue
            given = max(given, one.key)
            if one.key[cut:]:  # the root's own marker is no object in it
                yield Entry.of(one, one.key[cut:])


class _OneFile:
    """A file that comes to its place without anything beside it being kept."""

    def __init__(self, line: Line, context: Context) -> None:
        self._line = line
        self._context = context
        self._attempts = _attempts(context)
        self._source = Source(line.store, line.download_pace, Checksums(line.store, self._attempts))

    def bring(self, key: str, path: str) -> None:
        told = self._look(key)
        if os.path.isdir(path):
            raise CannotWriteError(f"{path} is a directory", hint="name the file that it is to be")
        parent = os.path.dirname(path)
        # A name of this call's own: the fetcher's temporary one is the same in every call for a path.
        arrival = f"{parent.rstrip('/')}/.lighterman-{secrets.token_hex(8)}.tmp"
        try:
            os.makedirs(parent, exist_ok=True)
            needs = Needs([parent])
            needs.add(0, told.size_bytes)
            needs.require()
            self._fetch(told, arrival)
            os.rename(arrival, path)
        except OSError as error:
            raise place.cannot_write(path, error, told.size_bytes) from error
        finally:
            for left in (arrival, place.temporary_of(arrival)):
                with suppress(OSError):
                    os.unlink(left)

    def _look(self, key: str) -> Stat:
        if not key or key.endswith("/"):
            raise SourceMissingError(
                f"{key!r} is no file of connection {self._line.connection.name!r}",
                hint="name an object, or download the directory",
                connection=self._line.connection.name,
                key=key,
            )
        full = self._source.key(key)

        def look() -> Stat:
            with self._source.pace.slot():
                return self._line.store.stat(full)

        told = self._attempts.call(f"stat {full}", look)
        if told.archived:
            raise SourceMissingError(
                f"{full!r} is archived and must be restored first",
                connection=self._line.connection.name,
                key=full,
            )
        return told

    def _fetch(self, told: Stat, arrival: str) -> None:
        context = self._context
        fetcher = Fetcher(
            [self._source],
            [NoNotes()],
            budget=self._line.budget,
            attempts=self._attempts,
            tally=context.tally,
            clock=context.clock,
            stop=context.stop,
        )
        context.tally.planned(1, told.size_bytes)
        ranges = 1 + told.size_bytes // RANGE_BYTES
        fetch = Fetch(
            arrival,
            0,
            0,
            told.key,
            told.size_bytes,
            told.etag,
            told.modified_seconds,
            told.checksum,
        )
        fetcher.run(iter([fetch]), ranges, self._line.workers)


def _context(line: Line) -> Context:
    return Context(
        environ=line.environ,
        find_connection=lambda _: line.connection,
        settings=line.settings,
        clock=line.clock,
    )


def _attempts(context: Context) -> Attempts:
    return Attempts(context.settings.retry_seconds, context.clock, context.tally, context.stop)
