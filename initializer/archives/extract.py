"""An archive that was looked at as a whole, written out: each member under a temporary name, then renamed."""

import os
import threading
from contextlib import suppress
from typing import Final

from initializer import place
from initializer.archives.claims import Claims
from initializer.archives.inspect import Contents, Site, stopped
from initializer.archives.members import CHUNK_BYTES, Archive, Kind, Member, place_of
from initializer.archives.notes import ArchiveNotes, Left, look
from lighterman.stores.contract import Attributes
from lighterman.transfer.tally import Tally

_NOTED_AT_ONCE: Final = 256


class Extraction:
    """
    The members of the archive at ``path`` into their places. One that is there as an earlier start left it
    stays. Symlinks come last, so that nothing is ever written through one of them.
    """

    def __init__(
        self,
        path: str,
        site: Site,
        modified_seconds: float,
        *,
        goes_on: bool,
        claims: Claims,
        notes: ArchiveNotes,
        tally: Tally,
        stop: threading.Event,
    ) -> None:
        self._path = path
        self._site = site
        self._modified_seconds = modified_seconds
        self._goes_on = goes_on
        self._claims = claims
        self._notes = notes
        self._tally = tally
        self._stop = stop
        self._directory = site.base
        self._placed: list[tuple[str, Left]] = []

    def of(self, archive: Archive, contents: Contents) -> None:
        """Place them all, or raise ``CannotWriteError``, or ``DeadlineError`` when told to stop."""
        self._tally.planned(contents.files, contents.size_bytes)
        try:
            for member in archive.members():
                self._require_no_stop()
                name = place_of(member.name).removesuffix("/")
                path = self._site.base + name
                if member.kind is Kind.DIRECTORY:
                    if name:  # else the directory that all is unpacked into
                        self._enter(f"{path}/")
                        self._note(path)
                elif member.kind is not Kind.SYMLINK:
                    self._place(archive, member, path)
            for path, target in self._claims.symlinks(self._site.owner):
                self._require_no_stop()
                self._place_symlink(path, target)
        finally:
            self._save()

    def _place(self, archive: Archive, member: Member, path: str) -> None:
        if self._is_left(path):
            self._tally.planned(-1, -member.size_bytes)
            self._tally.skip()
            return
        self._enter(path[: path.rindex("/") + 1])
        temporary = place.temporary_of(path)
        try:
            if member.kind is Kind.FILE:
                self._write(archive, member, temporary)
            else:
                self._link(member, temporary)
            os.rename(temporary, path)
            if member.kind is Kind.HARD_LINK:
                # A rename of one name of a file onto another name of the same leaves both.
                place.discard(temporary)
        except OSError as error:
            place.discard(temporary)
            raise place.cannot_write(path, error, member.size_bytes) from error
        except BaseException:
            place.discard(temporary)
            raise
        self._note(path)
        self._tally.done()

    def _write(self, archive: Archive, member: Member, temporary: str) -> None:
        descriptor = place.create(temporary)
        try:
            for data in archive.content():
                self._require_no_stop()
                _write_all(descriptor, data)
                self._tally.carried(len(data))
            attributes = Attributes(None, member.mode, member.mtime_ns)
            place.dress(descriptor, attributes, self._modified_seconds)
        finally:
            os.close(descriptor)

    def _link(self, member: Member, temporary: str) -> None:
        source = self._site.base + place_of(member.target)
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            os.link(source, temporary, follow_symlinks=False)
        except OSError:  # a file system without links, or with too many of this file
            self._copy(source, temporary)

    def _copy(self, source: str, temporary: str) -> None:
        opened = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            descriptor = place.create(temporary)
            try:
                while data := os.read(opened, CHUNK_BYTES):
                    _write_all(descriptor, data)
                told = os.fstat(opened)
                attributes = Attributes(None, told.st_mode, told.st_mtime_ns)
                place.dress(descriptor, attributes, self._modified_seconds)
            finally:
                os.close(descriptor)
        finally:
            os.close(opened)

    def _place_symlink(self, path: str, target: str) -> None:
        if self._is_left(path):
            self._tally.planned(-1, 0)
            self._tally.skip()
            return
        self._enter(path[: path.rindex("/") + 1])
        temporary = place.temporary_of(path)
        try:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            os.symlink(target, temporary)
            os.rename(temporary, path)
        except OSError as error:
            place.discard(temporary)
            raise place.cannot_write(path, error) from error
        self._note(path)
        self._tally.done()

    def _is_left(self, path: str) -> bool:
        return self._goes_on and self._notes.is_left(self._path, path)

    def _enter(self, directory: str) -> None:
        if directory == self._directory:
            return
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise place.cannot_write(directory, error) from error
        self._directory = directory

    def _note(self, path: str) -> None:
        left = look(path)
        if left is not None:
            self._placed.append((path, left))
        if len(self._placed) >= _NOTED_AT_ONCE:
            self._save()

    def _save(self) -> None:
        placed, self._placed = self._placed, []
        self._notes.note(self._path, placed)

    def _require_no_stop(self) -> None:
        if self._stop.is_set():
            raise stopped()


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
