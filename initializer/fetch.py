"""The plan carried out: every file whole, verified and in its place, or none of it visible."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from initializer import place
from initializer.crew import FIRST_SUPPLIED, MOST_SUPPLIED, Crew
from initializer.lane import Reading
from initializer.large import MOST_BEGINNINGS, RANGE_BYTES, LargeFile
from initializer.line import Line
from initializer.plan import Fetch, MakeDirectory, Placed
from initializer.source import Source
from initializer.state import Notes
from initializer.verify import untrusted
from lighterman.checksums import algorithm_of, checksum, new_sum
from lighterman.clock import Clock
from lighterman.errors import (
    CannotWriteError,
    DeadlineError,
    ExitCode,
    LightermanError,
    SourceChangedError,
)
from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, Checksum, Digest, Stat, Window
from lighterman.transfer.arrival import LEAST_BYTES, Arrival
from lighterman.transfer.budget import Budget
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

NOTE_SECONDS: Final = 0.1
"""How often the progress of large files is noted: what a killed run may have to fetch again."""
SAVE_SECONDS: Final = 10.0
"""How often that reaches the disk: what may have to be fetched again after the machine failed."""

LOST_SHARE: Final = 20

FEW_WORKERS: Final = 1 + FIRST_SUPPLIED
"""Where the lane brings the small files, the other threads are for the large ones."""
_LEAST_HELD_BYTES: Final = 64 * 1024


class Keeper(Protocol):
    """Whoever wants to have what was fetched."""

    def keep(
        self, item: Fetch, descriptor: int, attributes: Attributes, checksum: Checksum | None
    ) -> None:
        """
        A whole file, before it has its name; ``checksum`` is what it was compared with, if it was. Raises
        nothing for a copy that can't be made.
        """
        ...


class Fetcher:
    """Carries out the fetches of one plan."""

    def __init__(
        self,
        sources: Sequence[Source],
        states: Sequence[Notes],
        *,
        budget: Budget,
        attempts: Attempts,
        tally: Tally,
        clock: Clock,
        stop: threading.Event,
        roots: Sequence[str] = (),
        keeper: Keeper | None = None,
    ) -> None:
        """Below ``roots``, the destinations by number, nothing leads out; without any, nobody asks."""
        self.attempts = attempts
        self.tally = tally
        self._sources = sources
        self._states = states
        self._budget = budget
        self.clock = clock
        self._stop = stop
        self._roots = [(root, os.path.realpath(root or "/").rstrip("/")) for root in roots]
        self._keeper = keeper
        self._placed: list[deque[tuple[str, Placed]]] = [deque() for _ in states]
        self._temporaries: set[str] = set()
        self._large: dict[str, LargeFile] = {}
        self._saved_at = self._noted_at = clock.monotonic()
        self._crew: Crew | None = None

    def run(self, actions: Iterator[Fetch | MakeDirectory], files: int, workers: int) -> None:
        """
        Carry out all actions, or raise the first error that no retry mended, or ``DeadlineError`` when the
        process was told to stop. Then no temporary file is left, except those of large files that
        another start can go on with, which it can after every end with exit code 75.
        """
        line = Line(self, actions, workers)
        crew = self._crew = line.crew = Crew(
            line,
            workers,
            self.clock,
            self._stop,
            most_supplied=most_ranges(self.tally.totals().planned_bytes),
        )
        is_straight = any(source.store.straight() is not None for source in self._sources)
        have_ended = crew.run(self._tick, FEW_WORKERS if is_straight else files)
        self._note_placed()
        error = crew.error
        if self._stop.is_set() and (error is None or _may_pass(error)) and not crew.is_done:
            error = DeadlineError(
                "told to stop before everything was fetched",
                hint="start it again on the same volume: it goes on from here",
            )
        if error is not None:
            self._give_up(
                keep_large=have_ended
                and _may_pass(error)
                and not isinstance(error, SourceChangedError)
            )
            self._note_placed()  # where the disk was full before, there may be room by now
            if isinstance(error, LightermanError) and error.key:
                self.tally.failed(error.key, error.kind, error.message)
            raise error

    def read(
        self, item: Fetch, window: Window, at: int, digest: Digest | None = None
    ) -> Attributes:
        """One attempt at a range, within the pace of its store and the memory of the process."""
        source = self._sources[item.store]
        # What is small is held in small buffers.
        held_bytes = min(source.store.call_memory_bytes, 2 * window.size_bytes + _LEAST_HELD_BYTES)
        if window.size_bytes >= LEAST_BYTES and not source.is_volume:
            with Arrival(self.tally, digest) as arrival:
                return self._read(item, source, window, at, arrival, held_bytes)
        return self._read(item, source, window, at, digest, held_bytes)

    def _read(
        self,
        item: Fetch,
        source: Source,
        window: Window,
        at: int,
        digest: Digest | None,
        held_bytes: int,
    ) -> Attributes:
        try:
            with source.pace.slot(), self._budget.take(held_bytes):
                return source.store.read_into(
                    item.key, window, at=at, etag=item.etag, digest=digest
                )
        except CannotWriteError as error:
            if isinstance(error.__cause__, OSError):  # the store knows the descriptor, not the path
                raise place.cannot_write(item.path, error.__cause__, item.size_bytes) from error
            raise

    def anew(self, item: Fetch) -> Fetch:
        """The same object as it is now."""
        source = self._sources[item.store]

        def look() -> Stat:
            with source.pace.slot():
                return source.store.stat(item.key)

        told = self.attempts.call(f"stat {item.key}", look)
        return item._replace(
            size_bytes=told.size_bytes,
            etag=told.etag,
            modified_seconds=told.modified_seconds,
            checksum=told.checksum,
        )

    def expected(self, item: Fetch) -> Checksum | None:
        """What the content must add up to, where that is known."""
        return self._sources[item.store].checksums.expected(item.key, item.checksum)

    def must_match(self, item: Fetch) -> bool:
        """Whether another sum than the listing's means that the bytes are wrong."""
        return self._sources[item.store].checksums.are_meant(item.key)

    def readings(self) -> list[Reading | None]:
        """For each store, how it is read straight, if it is. Asks for the addresses of their servers."""
        return [_reading(source) for source in self._sources]

    def state(self, item: Fetch) -> Notes:
        """The notes of the destination that ``item`` goes to."""
        return self._states[item.root]

    def require_inside(self, item: Fetch, descriptor: int) -> None:
        """``UntrustedDataError`` if the temporary file of ``item`` isn't below its destination."""
        if self._roots:
            real_root = self._roots[item.root][1]
            place.require_inside(descriptor, real_root, place.temporary_of(item.path))

    def publish(
        self,
        item: Fetch,
        temporary: str,
        descriptor: int,
        attributes: Attributes,
        *,
        verified: bool,
    ) -> None:
        """Give a whole file that was fetched its looks and its name; the descriptor stays open."""
        if self._keeper is not None:
            compared = self.expected(item) if verified else None
            self._keeper.keep(item, descriptor, attributes, compared)
        self.install(item, temporary, descriptor, attributes, verified=verified)

    def install(
        self,
        item: Fetch,
        temporary: str,
        descriptor: int,
        attributes: Attributes,
        *,
        verified: bool,
    ) -> None:
        """The same for a whole file, wherever it comes from."""
        mtime_ns = place.dress(descriptor, attributes, item.modified_seconds)
        os.rename(temporary, item.path)
        self._placed[item.root].append((item.path, Placed(item.size_bytes, item.etag, mtime_ns)))
        handover = self.state(item).handover
        if handover is not None:
            store = self._sources[item.store].store
            handover.add(store.destination, item.key, item.etag, item.path, descriptor)
        if not verified:
            self.tally.unverified_file()
        self.tally.done()
        get_logger().debug(
            "init.file_fetched", key=item.key, path=item.path, size_bytes=item.size_bytes
        )

    def note(self) -> None:
        """Note what came to its place since the last time."""
        self._note_placed()

    def finished(self, large: LargeFile) -> None:
        """A large file is in its place."""
        self._large.pop(large.path, None)

    def make_directory(self, path: str) -> None:
        """As the plan has it, inside of the destination. ``CannotWriteError``, ``UntrustedDataError``."""
        below = [root for root in self._roots if path.startswith(f"{root[0]}/")]
        place.make_directory(path, max(below)[1] if below else None)

    def fetch(self, item: Fetch) -> None:
        """Bring one file, or begin a large one; everything that may be in the way is known here."""
        for beginning in range(1, MOST_BEGINNINGS + 1):
            if item.size_bytes > RANGE_BYTES:
                self._begin_large(item)
                return
            try:
                self._fetch_small(item)
            except SourceChangedError:
                if beginning == MOST_BEGINNINGS:
                    raise
                item = self._counted_again(item)
            except OSError as error:
                raise place.cannot_write(item.path, error, item.size_bytes) from error
            else:
                return

    def _counted_again(self, item: Fetch) -> Fetch:
        changed = self.anew(item)
        get_logger().info("init.source_changed", key=item.key)
        self.tally.planned(0, changed.size_bytes - item.size_bytes)
        return changed

    def _begin_large(self, item: Fetch) -> None:
        if self._crew is None:
            raise AssertionError("files are fetched by a crew")
        large = LargeFile(item, self)
        self._large[item.path] = large
        large.begin(self._crew)

    def _fetch_small(self, item: Fetch) -> None:
        temporary = place.temporary_of(item.path)
        expected = self.expected(item)
        self._temporaries.add(temporary)
        try:
            descriptor = place.create(temporary)
            try:
                self.require_inside(item, descriptor)
                attributes, verified = self._read_small(item, descriptor, expected)
                self.publish(item, temporary, descriptor, attributes, verified=verified)
            finally:
                os.close(descriptor)
        except BaseException:
            place.discard(temporary)
            raise
        finally:
            self._temporaries.discard(temporary)

    def _read_small(
        self, item: Fetch, descriptor: int, expected: Checksum | None
    ) -> tuple[Attributes, bool]:
        window = Window(descriptor, 0, item.size_bytes)

        def attempt() -> tuple[Attributes, Checksum | None]:
            if expected is None:
                return self.read(item, window, 0), None
            algorithm = algorithm_of(expected)
            total = new_sum(algorithm)
            attributes = self.read(item, window, 0, total)
            return attributes, checksum(algorithm, total.hexdigest())

        for _ in range(2):
            attributes, found = self.attempts.call(f"get {item.key}", attempt)
            self.tally.carried(item.size_bytes)
            if expected is None or found != expected:
                if expected is not None and self.must_match(item):
                    self.tally.planned(0, item.size_bytes)
                    continue
                return attributes, False
            return attributes, True
        raise untrusted(item.key)

    def _tick(self) -> None:
        self._note_placed()
        now = self.clock.monotonic()
        if now - self._noted_at < NOTE_SECONDS:
            return
        self._noted_at = now
        sync = now - self._saved_at >= SAVE_SECONDS
        if sync:
            self._saved_at = now
        for large in list(self._large.values()):
            large.save(sync=sync)

    def _note_placed(self) -> None:
        for state, placed in zip(self._states, self._placed, strict=True):
            rows = [placed.popleft() for _ in range(len(placed))]
            if not state.note_placed(rows):
                placed.extendleft(reversed(rows))

    def _give_up(self, *, keep_large: bool) -> None:
        for large in list(self._large.values()):
            large.give_up(keep=keep_large)
        for temporary in list(self._temporaries):
            place.discard(temporary)


def most_ranges(planned_bytes: int) -> int:
    """How many ranges may be on their way at once: a kill loses what of them came, a twentieth of all at most."""
    return max(FIRST_SUPPLIED, min(MOST_SUPPLIED, planned_bytes // (LOST_SHARE * RANGE_BYTES)))


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, LightermanError) and error.exit_code == ExitCode.TRY_AGAIN


def _reading(source: Source) -> Reading | None:
    straight = source.store.straight()
    if straight is None:
        return None
    try:
        addresses = straight.way.addresses()
    except (OSError, UnicodeError):  # whoever fetches from it says what this means
        return None
    return Reading(straight, addresses, source.pace)
