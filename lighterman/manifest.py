"""
What a directory holds, written beside it once it is whole: ``.lighterman-manifest.json``. Whoever reads the
directory can tell by it whether all is there, and is what was written.
"""

from typing import Annotated, Final, Literal

import msgspec

from lighterman.checksums import CRC32C, checksum
from lighterman.stores.contract import Checksum

NAME: Final = ".lighterman-manifest.json"
MOST_BYTES: Final = 32 * 1024 * 1024
"""About 300,000 files: a manifest is in memory while it is made, and while init runs. Nobody uses a larger one."""


class ManifestFile(msgspec.Struct, frozen=True, gc=False):
    """One file of the directory."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    crc32c: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    """Eight lower-case hexadecimal digits."""

    @property
    def checksum(self) -> Checksum:
        """As listings tell it."""
        return checksum(CRC32C, self.crc32c)


class Run(msgspec.Struct, frozen=True):
    """What a marker says beside: the end of the run that wrote it, and how much its prefix holds."""

    finished: str
    """RFC 3339, in UTC."""
    files: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    """Of one directory; more fields may follow in this version."""

    version: Literal[1]
    files: dict[str, ManifestFile]
    """By their paths below the directory, with ``/``."""
    run: Run | None = None
    """In a marker of a whole prefix."""


class Writing:
    """A manifest that is made, file by file, without an object for each."""

    def __init__(self) -> None:
        self._body = bytearray()
        self.files = 0
        self.bytes = 0

    @property
    def is_too_large(self) -> bool:
        """Whether nobody would use it: what it was told of since is only counted."""
        return len(self._body) > MOST_BYTES

    def add(self, path: str, size_bytes: int, crc32c: str) -> None:
        """One file, by its path below the directory."""
        self.files += 1
        self.bytes += size_bytes
        if not self.is_too_large:
            separator = b"," if self._body else b""
            told = b'"size_bytes":%d,"crc32c":"%b"' % (size_bytes, crc32c.encode())
            self._body += separator + msgspec.json.encode(path) + b":{" + told + b"}"

    def text(self, run: Run | None = None) -> bytes:
        """The manifest, with the run that it is a marker of; one that is too large tells of no files."""
        members = [b'{"version":1']
        if run is not None:
            members.append(b'"run":' + msgspec.json.encode(run))
        if not self.is_too_large:
            members.append(b'"files":{' + self._body + b"}")
        return b",".join(members) + b"}"


def parsed(text: bytes) -> Manifest:
    """The manifest that a file holds. ``ValueError`` says why it holds none."""
    return msgspec.json.decode(text, type=Manifest)
