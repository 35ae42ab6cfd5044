"""
What a directory holds, written beside it once it is whole: ``.lighterman-manifest.json``. Whoever reads the
directory can tell by it whether all is there, and is what was written.
"""

from typing import Annotated, Final, Literal

import msgspec

from lighterman.checksums import CRC32C, checksum
from lighterman.stores.contract import Checksum

NAME: Final = ".lighterman-manifest.json"


class ManifestFile(msgspec.Struct, frozen=True, gc=False):
    """One file of the directory."""

    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    crc32c: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    """Eight lower-case hexadecimal digits."""

    @property
    def checksum(self) -> Checksum:
        """As listings tell it."""
        return checksum(CRC32C, self.crc32c)


class Manifest(msgspec.Struct, frozen=True):
    """Of one directory; more fields may follow in this version."""

    version: Literal[1]
    files: dict[str, ManifestFile]
    """By their paths below the directory, with ``/``."""


def parsed(text: bytes) -> Manifest:
    """The manifest that a file holds. ``ValueError`` says why it holds none."""
    return msgspec.json.decode(text, type=Manifest)
