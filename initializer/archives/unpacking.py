"""
Archives on their way: fetched whole below the state directory, looked at as a whole, unpacked into the directory
where they would have been placed, and taken away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from initializer import place
from initializer.archives.claims import Claims, why_taken
from initializer.archives.extract import Extraction
from initializer.archives.forms import Form
from initializer.archives.inspect import Inspection, Site
from initializer.archives.members import Archive, BadArchiveError, Kind, shown
from initializer.archives.notes import ArchiveNotes
from initializer.plan import Action, Disk, Fetch, Keep, Placed, Refuse
from initializer.space import room_at
from initializer.spool import Spool
from lighterman.errors import UntrustedDataError
from lighterman.log import get_logger
from lighterman.transfer.tally import Tally

BATCH_BYTES: Final = 1024 * 1024 * 1024
"""So many bytes of archives are fetched before they are unpacked and taken away: what they need of the space."""
BATCH_ARCHIVES: Final = 256
_DIRECTORY: Final = "archives"
"""In the state directory, where fetched archives lie."""


class Unpacking:
    """
    The archives of one init. While the plan is made, all its actions go ``through`` here; once all else is
    in its place, ``run`` brings what the archives hold.
    """

    def __init__(
        self,
        roots: Sequence[str],
        state_directories: Sequence[str],
        disk: Disk,
        *,
        memory_bytes: int,
        tally: Tally,
        stop: threading.Event,
    ) -> None:
        self._roots = tuple(roots)
        self._directories = [f"{path}/{_DIRECTORY}" for path in state_directories]
        self._disk = disk
        self._memory_bytes = memory_bytes
        self._tally = tally
        self._stop = stop
        self._notes = [
            ArchiveNotes(root, directory)
            for root, directory in zip(roots, state_directories, strict=True)
        ]
        self._claims = Claims(f"{state_directories[0]}/claims.tmp")
        self._spool_directory = state_directories[0]
        self._spools = [Spool(self._spool_directory), Spool(self._spool_directory)]
        """The archives that wait, and those that are kept."""
        self._is_idle = True
        """Whether nothing is to be done at all."""
        self._number = 0
        self.kept_members = 0
        """Of archives of which all is there."""

    def through(self, actions: Iterable[Action]) -> Iterator[Action]:
        """
        The plan's actions, with those of archives as they are: a ``Keep`` for one that was unpacked and of which
        all is there, nothing for one that needs no fetching, else a ``Fetch`` of the archive, with its form, to where
        ``run`` has it fetched. The plan is made anew when this is begun anew.
        """
        self._claims.clear()
        for spool in self._spools:
            spool.close()
        self._spools = [Spool(self._spool_directory) for _ in self._spools]
        self._is_idle = True
        self.kept_members = 0
        for action in actions:
            if isinstance(action, Fetch) and action.form:
                yield from self._of_archive(action)
                continue
            if not isinstance(action, Refuse):
                self._claims.plan(action.path)
            self._is_idle = self._is_idle and isinstance(action, Keep)
            yield action

    def _of_archive(self, action: Fetch) -> Iterator[Action]:
        waiting, kept = self._spools
        there = self._notes[action.root].members_there(action.path, action.size_bytes, action.etag)
        if there is not None:
            kept.add(action)
            self.kept_members += there
            yield Keep(action.path, action.key)
            return
        waiting.add(action)
        self._is_idle = False
        fetch = self._fetch_of(action)
        if not self._is_fetched(fetch):
            yield fetch._replace(form=action.form)

    def begin(self) -> None:
        """
        Before the first byte moves: ``UntrustedDataError`` if anything is to come to the place of a member that
        stays as it is.
        """
        if self._is_idle:
            return
        for item in self._archives(self._spools[1]):
            self._number += 1
            for path, left in self._notes[item.root].members(item.path):
                owner = self._claims.add(path, self._number, Kind(left.kind))
                if owner is not None:
                    raise self._refused(item, f"{shown(path)}: {why_taken(owner)}")

    def run(self, fetch: Callable[[Sequence[Fetch]], None]) -> None:
        """
        Unpack them all: ``fetch`` brings some of them at a time. ``UntrustedDataError`` names the archive, and the
        member, that can't be taken; nothing of that archive is in any place then.
        """
        for batch in self._batches():
            wanted = [self._fetch_of(item) for item in batch]
            left = [item for item in wanted if not self._is_fetched(item)]
            if left:
                for root in {item.root for item in left}:
                    _make(self._directories[root])
                fetch(left)
            for item, fetched in zip(batch, wanted, strict=True):
                self._unpack(item, fetched.path)
        for directory in self._directories:
            _empty(directory)

    def close(self) -> None:
        """Let go of the files."""
        self._claims.close()
        for spool in self._spools:
            spool.close()
        for notes in self._notes:
            notes.close()

    def _batches(self) -> Iterator[list[Fetch]]:
        batch: list[Fetch] = []
        size_bytes = 0
        for item in self._archives(self._spools[0]):
            if batch and (
                size_bytes + item.size_bytes > BATCH_BYTES or len(batch) == BATCH_ARCHIVES
            ):
                yield batch
                batch, size_bytes = [], 0
            batch.append(item)
            size_bytes += item.size_bytes
        if batch:
            yield batch

    def _archives(self, spool: Spool) -> Iterator[Fetch]:
        return (item for item in spool.drain() if isinstance(item, Fetch))

    def _fetch_of(self, item: Fetch) -> Fetch:
        relative = os.fsencode(item.path[len(self._roots[item.root]) + 1 :])
        name = blake2b(relative, digest_size=16).hexdigest()
        return item._replace(path=f"{self._directories[item.root]}/{name}", form="")

    def _is_fetched(self, fetch: Fetch) -> bool:
        on_disk = self._disk.file(fetch.path)
        noted = self._disk.placed(fetch.root, fetch.path)
        return (
            on_disk is not None
            and on_disk.is_file
            and noted == Placed(fetch.size_bytes, fetch.etag, on_disk.mtime_ns)
            and on_disk.size_bytes == fetch.size_bytes
        )

    def _unpack(self, item: Fetch, fetched: str) -> None:
        try:
            os.chmod(fetched, 0o600)  # the mode that the object had may not let it be read
            descriptor = os.open(fetched, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise place.cannot_write(fetched, error) from error
        try:
            self._unpack_open(item, fetched, descriptor)
        except BadArchiveError as error:
            with suppress(OSError):
                os.unlink(fetched)  # it would be refused again
            raise self._refused(item, str(error)) from error
        finally:
            os.close(descriptor)
        with suppress(OSError):
            os.unlink(fetched)

    def _refused(self, item: Fetch, reason: str) -> UntrustedDataError:
        refused = UntrustedDataError(
            f"{item.key!r} can't be unpacked: {reason}",
            hint="mend the archive, leave it out by exclude, or leave unpack out",
            key=item.key,
        )
        self._tally.failed(item.key, refused.kind, refused.message)
        return refused

    def _unpack_open(self, item: Fetch, fetched: str, descriptor: int) -> None:
        size_bytes = os.fstat(descriptor).st_size
        noted = self._disk.placed(item.root, fetched)  # it may have changed since it was listed
        etag = noted.etag if noted else item.etag
        archive = _opened(item.form, descriptor, size_bytes, self._memory_bytes)
        self._number += 1
        site = Site(
            item.path[: item.path.rindex("/") + 1], item.root, self._roots, owner=self._number
        )
        root = self._roots[item.root]
        self._claims.begin()
        try:
            inspection = Inspection(
                site, self._claims, self._disk, room_at(root or "/"), self._stop
            )
            contents = inspection.of(archive)
        except BaseException:
            self._claims.take_back()
            raise
        self._claims.keep()
        notes = self._notes[item.root]
        goes_on = notes.begin(item.path, size_bytes, etag)
        Extraction(
            item.path,
            site,
            item.modified_seconds,
            goes_on=goes_on,
            claims=self._claims,
            notes=notes,
            tally=self._tally,
            stop=self._stop,
        ).of(archive, contents)
        notes.finish(item.path)
        get_logger().info(
            "init.unpacked",
            key=item.key,
            path=site.base,
            members=contents.members,
            files=contents.files,
            size_bytes=contents.size_bytes,
        )


def _opened(form: str, descriptor: int, size_bytes: int, most_window_bytes: int) -> Archive:
    if form == "zip":
        from initializer.archives.zipped import Zip

        return Zip(descriptor, size_bytes)
    from initializer.archives.tarred import Tar

    tar: Form = "tar.gz" if form == "tar.gz" else "tar.zst" if form == "tar.zst" else "tar"
    return Tar(tar, descriptor, size_bytes, most_window_bytes)


def _make(directory: str) -> None:
    try:
        if os.path.islink(directory):  # not ours: it could lead anywhere
            os.unlink(directory)
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise place.cannot_write(directory, error) from error


def _empty(directory: str) -> None:
    """Take away what is left of archives that nobody asks for any more."""
    if os.path.islink(directory):
        return
    with suppress(OSError):
        for name in os.listdir(directory):
            os.unlink(f"{directory}/{name}")
        os.rmdir(directory)
