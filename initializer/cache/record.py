"""
What a cache entry is called, and what it says of itself. An entry is one file: the content, then a record of
it, then the record's own length and checksum. Pure.
"""

import hashlib
import struct
import zlib
from enum import Enum
from typing import Final

import msgspec

from lighterman.checksums import CRC32C
from lighterman.stores.contract import Attributes, Checksum

MOST_RECORD_BYTES: Final = 1024
"""The end of an entry, of which no record takes more."""
_TAIL: Final = struct.Struct("<II4s")
_MAGIC: Final = b"LMc1"
_MOST_NS: Final = 1 << 63


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one entry's content."""

    name: str
    size_bytes: int
    crc32c: str
    """Of the content, in hexadecimal digits: what each use is compared with."""
    checksum: str | None
    """The store's own, or a manifest's, where the content was compared with it when it was fetched."""
    mode: int | None
    mtime_ns: int | None

    @property
    def attributes(self) -> Attributes:
        """What came with the bytes."""
        return Attributes(None, self.mode, self.mtime_ns)


class Standing(Enum):
    """What an entry whose content is what its record says is to a file that is wanted."""

    VERIFIED = "it was compared with what the store tells, or is by its CRC32C"
    UNVERIFIED = "nothing that the store tells can be compared with it"
    WRONG = "it is other content than the store tells"


def standing_of(record: Record, expected: Checksum | None) -> Standing:
    """How the record agrees with the checksum that the content must have, where that is known."""
    if expected is None:
        return Standing.UNVERIFIED
    algorithm, _, digits = expected.partition(":")
    known = record.crc32c if algorithm == CRC32C else _digits(record, algorithm)
    if known is None:
        return Standing.UNVERIFIED
    return Standing.VERIFIED if known == digits else Standing.WRONG


def _digits(record: Record, algorithm: str) -> str | None:
    found, _, digits = (record.checksum or "").partition(":")
    return digits if found == algorithm else None


def name_of(destination: str, key: str, etag: str, size_bytes: int) -> str:
    """The entry of one version of one object, wherever it was fetched by whom."""
    parts = (destination, key, etag, str(size_bytes))
    # Lengths first: no two quadruples give one text.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def recorded(
    name: str, size_bytes: int, crc32c: str, checksum: str | None, attributes: Attributes
) -> bytes:
    """What follows the content in an entry."""
    mtime_ns = attributes.mtime_ns
    if mtime_ns is not None and abs(mtime_ns) >= _MOST_NS:  # no file can have it
        mtime_ns = None
    record = Record(name, size_bytes, crc32c, checksum, attributes.mode, mtime_ns)
    encoded = msgspec.json.encode(record)
    return encoded + _TAIL.pack(len(encoded), zlib.crc32(encoded), _MAGIC)


_decoder: Final = msgspec.json.Decoder(Record)


def read_record(end: bytes, entry_bytes: int, name: str) -> Record | None:
    """
    The record in the last bytes of an entry of ``entry_bytes``; ``None`` where it isn't a whole record, or
    one of another entry, or the entry's size isn't what it says.
    """
    if len(end) < _TAIL.size:
        return None
    length, crc, magic = _TAIL.unpack(end[-_TAIL.size :])
    encoded = end[-_TAIL.size - length : -_TAIL.size] if length else b""
    if magic != _MAGIC or len(encoded) != length or zlib.crc32(encoded) != crc:
        return None
    try:
        record = _decoder.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    is_whole = entry_bytes == record.size_bytes + length + _TAIL.size
    return record if is_whole and record.name == name else None
