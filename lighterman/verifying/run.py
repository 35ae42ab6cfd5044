"""One comparison, from its flags to its verdict."""

import contextlib
import os
import tempfile
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from lighterman import manifest
from lighterman.command import Context
from lighterman.errors import DeadlineError, SourceMissingError, UntrustedDataError
from lighterman.log import get_logger
from lighterman.stores.contract import Key, Listed, Store, Window
from lighterman.stores.limited import limited
from lighterman.stores.opening import open_store
from lighterman.transfer.limit import limiter_of
from lighterman.transfer.retry import Attempts
from lighterman.verifying.content import Compared, Contents, Sight
from lighterman.verifying.results import Results, State, printer
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.listing import Listing
from sidecar.output import unreadable
from sidecar.place import prefix_of
from sidecar.states import RelPath, key_of
from sidecar.walk import walk

THREADS: Final = 8
MOST_WAITING: Final = 64
"""Comparisons that were begun and whose end wasn't looked at."""


def verify(arguments: Namespace, context: Context) -> None:
    """
    Compare, print, and raise ``UntrustedDataError`` (65) where something differs, ``SourceMissingError``
    (66) where nothing is there, or no manifest.
    """
    connection = context.find_connection(arguments.connection)
    to = prefix_of(arguments.dir, context.environ)
    store = open_store(connection, context.environ, context.settings, concurrency=THREADS)
    store = limited(
        store, limiter_of(context.settings.bytes_per_second, context.clock), context.stop
    )
    prefix = "/".join(part for part in (store.prefix, to) if part)
    results = Results(printer(arguments.results), context.tally)
    with contextlib.closing(store), ThreadPoolExecutor(THREADS) as threads:
        run = Comparison(store, prefix, arguments, context, results, threads)
        try:
            if arguments.path:
                run.with_path(os.path.realpath(arguments.path))
            else:
                run.with_manifests()
            run.wait()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    failure = results.verdict()
    if failure is not None:
        failure.connection = store.connection
        raise failure


class Comparison:
    """Lists in one thread, and compares in others."""

    def __init__(
        self,
        store: Store,
        prefix: str,
        arguments: Namespace,
        context: Context,
        results: Results,
        threads: ThreadPoolExecutor,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._below = f"{prefix}/" if prefix else ""
        self._marker: str = arguments.marker
        self._exclude: list[str] = arguments.exclude
        self._is_exact: bool = arguments.exact
        self._context = context
        self._results = results
        self._threads = threads
        self._contents = Contents(store, context, reads=arguments.read)
        self._attempts = Attempts(
            context.settings.retry_seconds, context.clock, context.tally, context.stop
        )
        self._waiting: deque[tuple[Key, int, Future[Compared]]] = deque()

    # By manifests

    def with_manifests(self) -> None:
        """Each object that a manifest below the prefix names, and what lies beside these."""
        found, objects = self._attempts.call(f"list {self._below}", self._manifests)
        where = self._below or "the root"
        if not objects:
            raise self._missing(f"there is nothing below {where}")
        if not found:
            name = self._marker or manifest.NAME
            raise self._missing(f"there is no {name} below {where}", "compare with a --path")
        for listed in found:
            self._with_manifest(listed)

    def _manifests(self) -> tuple[list[Listed], int]:
        found, objects = [], 0
        for page in self._store.pages(self._below):
            self._go_on()
            objects += len(page)
            found += [listed for listed in page if self._is_manifest(listed.key)]
        return found, objects

    def _is_manifest(self, key: Key) -> bool:
        if self._marker:
            return key == self._below + self._marker
        return key == manifest.NAME or key.endswith(f"/{manifest.NAME}")

    def _with_manifest(self, listed: Listed) -> None:
        directory = listed.key[: listed.key.rfind("/") + 1]
        files = self._read(listed).files
        get_logger().info("verify.manifest_read", key=listed.key, files=len(files))
        for other in self._listed(directory):
            told = files.pop(other.key[len(directory) :], None)
            if told is None:
                if other.key != listed.key and not self._vouches(other.key):
                    self._results.beside_it(other.key, counts=self._is_exact)
                continue
            self._compare(
                other,
                lambda other=other, told=told: self._contents.with_sum(  # type: ignore[misc]
                    other, told.size_bytes, told.crc32c, listed.key
                ),
            )
        for path in sorted(files):
            said = f"it isn't there, and should be by {listed.key}"
            self._results.different_file(Key(directory + path), State.MISSING, said)

    def _vouches(self, key: Key) -> bool:
        """A directory's marker, or another manifest."""
        return key.endswith(("/", f"/{manifest.NAME}"))

    def _read(self, listed: Listed) -> manifest.Manifest:
        if listed.size_bytes > manifest.MOST_BYTES:
            raise self._untrusted(listed, f"it has {listed.size_bytes} bytes, more than one has")
        try:
            return manifest.parsed(
                self._attempts.call(f"get {listed.key}", lambda: self._text(listed))
            )
        except ValueError as error:
            raise self._untrusted(listed, str(error)) from error

    def _text(self, listed: Listed) -> bytes:
        descriptor = os.memfd_create("manifest", os.MFD_CLOEXEC)
        try:
            window = Window(descriptor, 0, listed.size_bytes)
            self._store.read_into(listed.key, window, at=0, etag=listed.etag)
            return os.pread(descriptor, listed.size_bytes, 0)
        finally:
            os.close(descriptor)

    # By a path

    def with_path(self, root: str) -> None:
        """Each file of the directory, by the rules of the sidecar, and what lies beside its object."""
        if not os.path.isdir(root):
            raise self._missing(f"there is no directory {root}")
        with tempfile.TemporaryDirectory(prefix="lighterman-") as directory:
            made = self._attempts.call(
                f"list {self._below}", lambda: Listing(self._store, self._prefix, directory)
            )
            with made as listing:
                if not listing.count:
                    raise self._missing(f"there is nothing below {self._below or 'the root'}")
                for path in self._files(root):
                    key = key_of(self._prefix, path)
                    listed = listing.take(key)
                    if listed is None:
                        self._results.different_file(key, State.MISSING, "it isn't there")
                        continue
                    self._compare(
                        listed,
                        lambda listed=listed, path=path: self._contents.with_file(  # type: ignore[misc]
                            listed, root, path
                        ),
                    )
                for key in listing.left():
                    if not self._vouches(key) and key != manifest.NAME:
                        self._results.beside_it(key, counts=self._is_exact)
                self.wait()

    def _files(self, root: str) -> Iterator[RelPath]:
        names = Names(exclude=self._exclude)
        for look in walk(root, names, Journal.in_memory("")):
            self._go_on()
            if look.unreadable:
                raise unreadable(look.directory, OSError(look.unreadable))
            for dirty in look.dirty:
                yield dirty.path

    # Both

    def _listed(self, directory: str) -> Iterator[Listed]:
        """After trouble it goes on behind what was told."""
        last = ""
        pages: Iterator[list[Listed]] | None = None

        def next_page() -> list[Listed] | None:
            nonlocal pages
            asked, pages = pages or self._store.pages(directory, after=last), None
            page = next(asked, None)
            pages = asked
            return page

        while (page := self._attempts.call(f"list {directory}", next_page)) is not None:
            self._go_on()
            yield from page
            last = page[-1].key if page else last

    def _compare(self, listed: Listed, compare: Callable[[], Compared]) -> None:
        self._context.tally.planned(1, 0)
        self._waiting.append((listed.key, listed.size_bytes, self._threads.submit(compare)))
        if len(self._waiting) > MOST_WAITING:
            self._take()

    def wait(self) -> None:
        """Until all that was begun is compared."""
        while self._waiting:
            self._take()

    def _take(self) -> None:
        key, size_bytes, future = self._waiting.popleft()
        sight, said = future.result()
        self._go_on()
        if sight is Sight.DIFFERENT:
            self._results.different_file(key, State.DIFFERS, said)
        else:
            self._results.equal(size_bytes, by_size_alone=sight is Sight.SIZE_ALONE)

    def _go_on(self) -> None:
        if self._context.stop.is_set():
            raise DeadlineError("told to stop before all was compared")

    def _missing(self, message: str, hint: str = "") -> SourceMissingError:
        return SourceMissingError(message, hint=hint, connection=self._store.connection)

    def _untrusted(self, listed: Listed, why: str) -> UntrustedDataError:
        return UntrustedDataError(
            f"{listed.key!r} is no manifest: {why}",
            hint="have it written anew, or compare with a --path",
            connection=self._store.connection,
            key=listed.key,
        )
