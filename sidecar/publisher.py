"""
One look at a group, and its manifest where it is whole: every file of it is in the bucket as it is on disk,
and the manifest tells of just these.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from lighterman import manifest
from lighterman.checksums import CRC32C, joined_crc32c, of_window
from lighterman.clock import Clock
from lighterman.errors import CannotWriteError, LightermanError, SourceChangedError
from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, ETag, Key, Store, Window
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from sidecar.globs import Names
from sidecar.groups import GroupNames, Touched, Verdict, is_complete
from sidecar.guarded import Guarded
from sidecar.journal import Journal
from sidecar.output import opened, peek
from sidecar.parts import part_bytes_for, spans
from sidecar.states import RelPath, Synced, join, key_of
from sidecar.walk import walk

SUM_BYTES: Final = 64 << 20
"""After so many bytes it is asked whether somebody waits to change the group."""
_MODE: Final = 0o644


class _NotNowError(Exception):
    """The look ends with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Publisher:
    """Usable from many threads, each with a group of its own."""

    def __init__(
        self,
        guarded: Guarded,
        journal: Journal,
        groups: GroupNames,
        *,
        root: str,
        prefix: str,
        names: Names,
        clock: Clock,
        attempts: Attempts,
        pace: Pace,
        mark: Callable[[RelPath], object],
    ) -> None:
        """``mark`` writes the marker of an empty directory."""
        self._guarded = guarded
        self._journal = journal
        self._groups = groups
        self._root = root
        self._prefix = prefix
        self._names = names
        self._clock = clock
        self._attempts = attempts
        self._pace = pace
        self._mark = mark
        self._renamed: dict[RelPath, int] = {}
        self.drains = False
        """Set when the drain begins, which sends temporary names too: from then on they are waited for."""

    def recall(self) -> list[RelPath]:
        """Once, before the first look: what the journal knows. The groups that were renamed into place."""
        self._guarded.recall()
        for group, at_ns in self._journal.completed().items():
            self._renamed.setdefault(group, at_ns)  # the watch may have told of another already
        return list(self._renamed)

    def renamed(self, group: RelPath, at_ns: int) -> None:
        """The group was renamed into place then, by its file system's clock."""
        with contextlib.suppress(
            UnicodeEncodeError
        ):  # the files of such a group can't be sent either
            self._journal.complete(group, at_ns)
            self._renamed[group] = at_ns

    def look(self, group: RelPath, *, ended: bool) -> Verdict:
        """
        Write the group's manifest if it is whole, or ``ended``: then it is what main left. Raises the
        store's errors when retries didn't help.
        """
        key = key_of(self._prefix, join(group, manifest.NAME))
        if self._guarded.is_standing(key):
            return Verdict.STANDS
        try:
            renamed_ns, done = self._said(group, ended=ended)
            with self._guarded.making(key) as may:
                if not may:
                    return Verdict.DISTURBED
                newest_ns = self._all_sent(key, group, ended=ended)
                found, lacking, newest_file_ns = self._gathered(key, group, ended=ended)
                newest_ns = max(newest_ns, newest_file_ns)
                if not is_complete(newest_ns, renamed_ns=renamed_ns, done=done, ended=ended):
                    return Verdict.INCOMPLETE
                for path, synced in self._summed(key, lacking):
                    if synced.crc32c is None:
                        return Verdict.UNSENT
                    found.add(path[len(group) + 1 :], synced.state.size_bytes, synced.crc32c)
                return self._published(key, found)
        except _NotNowError as error:
            return error.verdict

    def write_marker(self, name: str) -> Verdict:
        """
        At the very end, after the listing was compared: the manifest of all that the journal has, with the
        run's end. Raises the store's errors when retries didn't help.
        """
        key = key_of(self._prefix, RelPath(name))
        if self._guarded.is_standing(key):
            return Verdict.STANDS
        try:
            with self._guarded.making(key) as may:
                return self._marked(key, name) if may else Verdict.DISTURBED
        except _NotNowError as error:
            return error.verdict

    def _marked(self, key: Key, name: str) -> Verdict:
        found, lacking = manifest.Writing(), []
        for path, synced in self._journal.rows():
            if path.endswith("/") or self._names.is_covered(path):
                continue
            if synced.crc32c is None:
                lacking.append(path)
            else:
                found.add(path, synced.state.size_bytes, synced.crc32c)
        for path, synced in self._summed(key, lacking):
            if synced.crc32c is not None:  # else it is gone from here: nobody can tell its sum
                found.add(path, synced.state.size_bytes, synced.crc32c)
        if found.is_too_large and name == manifest.NAME:
            return self._too_large(key, found)
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock.wall()))
        self._put(key, found.text(manifest.Run(when, found.files, found.bytes)))
        get_logger().info(
            "sidecar.marker_written", key=key, files=found.files, size_bytes=found.bytes
        )
        return Verdict.PUBLISHED

    # What is there

    def _said(self, group: RelPath, *, ended: bool) -> tuple[int | None, Touched | None]:
        """What says that the group is complete. Ends the look where nothing does, or there is no such directory."""
        place = os.path.join(self._root, group)
        if not os.path.isdir(place) or os.path.realpath(place) != place:
            if self._renamed.pop(group, None) is not None:
                self._journal.complete(group, None)
            raise _NotNowError(Verdict.EMPTY)
        renamed_ns, done = self._renamed.get(group), self._done(group)
        if renamed_ns is None and done is None and not ended:
            raise _NotNowError(Verdict.INCOMPLETE)
        return renamed_ns, done

    def _done(self, group: RelPath) -> Touched | None:
        if not self._groups.done_name:
            return None
        try:
            status = os.stat(os.path.join(self._root, group, self._groups.done_name))
        except OSError:
            return None
        return Touched(status.st_mtime_ns, status.st_ctime_ns)

    def _all_sent(self, key: Key, group: RelPath, *, ended: bool) -> int:
        """When the latest of its directories changed. Ends the look if something of it isn't in the bucket."""
        newest_ns = 0
        for look in walk(self._root, self._names, self._journal, top=group):
            self._check(key)
            if look.unreadable or any(
                ended or self.drains or not self._names.is_temporary(dirty.path)
                for dirty in look.dirty
            ):
                raise _NotNowError(Verdict.UNSENT)
            if look.is_empty:
                self._mark(look.directory)
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(os.path.join(self._root, look.directory))
                newest_ns = max(
                    newest_ns, Touched(status.st_mtime_ns, status.st_ctime_ns).written_ns
                )
        return newest_ns

    def _gathered(
        self, key: Key, group: RelPath, *, ended: bool
    ) -> tuple[manifest.Writing, list[RelPath], int]:
        """What is told of its files, those whose sum isn't known, and when the latest was written."""
        found, lacking, newest_ns = manifest.Writing(), [], 0
        for path, synced in self._journal.rows(group):
            if path.endswith("/") or self._names.is_covered(path):
                continue
            self._check(key)
            try:
                state = peek(self._root, path)
            except CannotWriteError as error:
                raise _NotNowError(Verdict.UNSENT) from error
            if state is None:  # deleted here, and kept in the bucket
                continue
            if state != synced.state:
                if self._names.is_temporary(path) and not ended and not self.drains:
                    continue
                raise _NotNowError(Verdict.UNSENT)
            newest_ns = max(newest_ns, Touched(state.mtime_ns, state.ctime_ns).written_ns)
            if synced.crc32c is None:
                lacking.append(path)
            else:
                found.add(path[len(group) + 1 :], state.size_bytes, synced.crc32c)
        return found, lacking, newest_ns

    def _summed(self, key: Key, paths: list[RelPath]) -> Iterator[tuple[RelPath, Synced]]:
        """Each with its sum, which is read where the journal has none; ``None`` where the file is another."""
        for path in paths:
            synced = self._journal.synced(path)
            if synced is None:
                raise _NotNowError(Verdict.DISTURBED)
            if synced.crc32c is None:
                synced = self._read(key, path, synced)
            yield path, synced

    def _read(self, key: Key, path: RelPath, synced: Synced) -> Synced:
        try:
            with opened(self._root, path) as output:
                if output is None or output.state != synced.state:
                    return synced
                total = 0
                for span in spans(synced.state.size_bytes, SUM_BYTES):
                    self._check(key)
                    window = Window(output.descriptor, span.start, span.size_bytes)
                    piece = int(of_window(CRC32C, window), 16)
                    total = joined_crc32c(total, piece, span.size_bytes)
                if not output.holds(live=False):
                    return synced
        except (CannotWriteError, SourceChangedError):
            return synced
        crc32c = f"{total:08x}"
        self._journal.note_crc32c(path, synced.etag, crc32c)
        return Synced(synced.state, synced.key, synced.etag, synced.uploaded, crc32c)

    def _check(self, key: Key) -> None:
        if self._guarded.is_disturbed(key):
            raise _NotNowError(Verdict.DISTURBED)

    # What is written

    def _published(self, key: Key, found: manifest.Writing) -> Verdict:
        if not found.files:
            return Verdict.EMPTY
        if found.is_too_large:
            return self._too_large(key, found)
        self._check(key)
        self._put(key, found.text())
        get_logger().info(
            "sidecar.group_published", key=key, files=found.files, size_bytes=found.bytes
        )
        return Verdict.PUBLISHED

    def _too_large(self, key: Key, found: manifest.Writing) -> Verdict:
        get_logger().warning(
            "sidecar.manifest_too_large",
            key=key,
            files=found.files,
            most_bytes=manifest.MOST_BYTES,
            hint="choose smaller directories with --group",
        )
        return Verdict.TOO_LARGE

    def _put(self, key: Key, text: bytes) -> None:
        descriptor = os.memfd_create("manifest", os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(text)
            attributes = Attributes("application/json", _MODE, int(self._clock.wall() * 1e9))
            window = Window(descriptor, 0, len(text))
            self._guarded.put(key, lambda: self._written(key, window, attributes))
        finally:
            os.close(descriptor)

    def _written(self, key: Key, window: Window, attributes: Attributes) -> ETag:
        store = self._guarded.bare

        def write() -> ETag:
            with self._pace.slot():
                if window.size_bytes <= store.small_write_bytes:
                    return store.write(key, window, attributes)
                return by_parts(store, key, window, attributes)

        return self._attempts.call(f"put {key}", write)


def by_parts(store: Store, key: Key, window: Window, attributes: Attributes) -> ETag:
    """
    A manifest that is too large for one request, begun anew by whoever comes after a failure: what a killed
    process left open is dropped first.
    """
    for left in store.open_uploads(key):
        if left.key == key:
            store.abandon(key, left.upload_id)
    part_bytes = part_bytes_for(window.size_bytes, store.limits)
    upload_id = store.begin(key, attributes, part_bytes=part_bytes)
    try:
        parts = [
            store.send_part(
                key,
                upload_id,
                span.number,
                Window(window.descriptor, window.start + span.start, span.size_bytes),
            )
            for span in spans(window.size_bytes, part_bytes)
        ]
        return store.finish(key, upload_id, parts)
    except LightermanError:
        with contextlib.suppress(LightermanError):
            store.abandon(key, upload_id)
        raise
