"""
The manifests that a listing comes past: what they say of the files beside them is held against the listing
before the first byte, and against the bytes as they come.
"""

import os
from collections.abc import Iterator
from typing import Final

from initializer.plan import Refuse
from lighterman import manifest
from lighterman.errors import SourceMissingError, UntrustedDataError
from lighterman.log import get_logger
from lighterman.manifest import MOST_BYTES, NAME, ManifestFile
from lighterman.stores.contract import Checksum, Key, Listed, Store, Window
from lighterman.transfer.retry import Attempts

_SHOWN: Final = 10


class _Open:
    """One manifest, and which of its files the listing has shown."""

    def __init__(self, directory: str, files: dict[str, ManifestFile]) -> None:
        self.directory = directory
        self.files = files
        self.unseen = set(files)
        self.refused: list[Refuse] = []

    def see(self, listed: Listed) -> None:
        path = listed.key[len(self.directory) :]
        if path not in self.unseen:
            return
        self.unseen.remove(path)
        told_bytes = self.files[path].size_bytes
        if listed.size_bytes != told_bytes and len(self.refused) < _SHOWN:
            why = f"it has {listed.size_bytes} bytes, and {told_bytes} by {self.directory}{NAME}"
            self.refused.append(Refuse(listed.key, why, UntrustedDataError))


class Manifests:
    """Those of one store."""

    def __init__(self, store: Store, attempts: Attempts) -> None:
        self._store = store
        self._attempts = attempts
        self._open: dict[str, _Open] = {}

    def begin_again(self) -> None:
        """The listing is asked for once more."""
        self._open.clear()

    def watched(self, pages: Iterator[list[Listed]]) -> Iterator[list[Listed]]:
        """
        The pages of one declared directory, passed on as they are, while manifests among them are read.
        ``UntrustedDataError`` for one that can't be read as such.
        """
        for page in pages:
            for listed in page:
                if listed.key.endswith(NAME) and self._is_manifest(listed):
                    self._read(listed)
            if self._open:
                for listed in page:
                    for opened in self._above(listed.key):
                        opened.see(listed)
            yield page

    def refusals(self) -> Iterator[Refuse]:
        """What the listings, which have ended, don't have as the manifests say. A few of each."""
        for opened in self._open.values():
            yield from opened.refused
            absent = (path for path in sorted(opened.unseen) if not self._is_there(opened, path))
            for path, _ in zip(absent, range(_SHOWN), strict=False):
                why = f"it isn't there, and should be by {opened.directory}{NAME}"
                yield Refuse(Key(opened.directory + path), why, SourceMissingError)

    def checksum_of(self, key: Key) -> Checksum | None:
        """What the content must add up to, by the manifest nearest to it."""
        if not self._open:
            return None
        for opened in self._above(key):
            found = opened.files.get(key[len(opened.directory) :])
            if found is not None:
                return found.checksum
        return None

    def _is_manifest(self, listed: Listed) -> bool:
        directory = listed.key[: -len(NAME)]
        if (directory and not directory.endswith("/")) or directory in self._open:
            return False
        if listed.size_bytes > MOST_BYTES:
            get_logger().warning(
                "init.manifest_not_used",
                key=listed.key,
                size_bytes=listed.size_bytes,
                most_bytes=MOST_BYTES,
            )
            return False
        return True

    def _above(self, key: str) -> Iterator[_Open]:
        """The manifests that could name ``key``, the nearest first."""
        end = len(key)
        while (end := key.rfind("/", 0, end)) >= 0:
            opened = self._open.get(key[: end + 1])
            if opened is not None:
                yield opened
        if (opened := self._open.get("")) is not None:
            yield opened

    def _is_there(self, opened: _Open, path: str) -> bool:
        """What comes before the manifest in the order of keys may have been listed before it was read."""
        if path >= NAME:
            return False
        try:
            self._attempts.call(
                f"stat {path}", lambda: self._store.stat(Key(opened.directory + path))
            )
        except SourceMissingError:
            return False
        return True

    def _read(self, listed: Listed) -> None:
        directory = listed.key[: -len(NAME)]
        text = self._attempts.call(f"get {listed.key}", lambda: self._text(listed))
        try:
            files = manifest.parsed(text).files
        except ValueError as error:
            raise UntrustedDataError(
                f"{listed.key!r} is no manifest: {error}",
                hint="have it written anew, or delete it: then nothing is compared with it",
                connection=self._store.connection,
                key=listed.key,
            ) from error
        self._open[directory] = _Open(directory, files)
        get_logger().info("init.manifest_read", key=listed.key, files=len(files))

    def _text(self, listed: Listed) -> bytes:
        descriptor = os.memfd_create("manifest", os.MFD_CLOEXEC)
        try:
            window = Window(descriptor, 0, listed.size_bytes)
            self._store.read_into(listed.key, window, at=0, etag=listed.etag)
            return os.pread(descriptor, listed.size_bytes, 0)
        finally:
            os.close(descriptor)
