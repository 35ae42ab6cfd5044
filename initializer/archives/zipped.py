"""
Zips: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. The central directory is read as a stream,
where the standard library's ``zipfile`` holds all of it in memory; sizes are taken at their word nowhere.
"""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from initializer.archives.members import (
    CHUNK_BYTES,
    MOST_TARGET_BYTES,
    BadArchiveError,
    Kind,
    Member,
    excessive,
)

_END: Final = struct.Struct("<4s4H2LH")
_END_64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_MOST_COMMENT_BYTES: Final = 0xFFFF
_MORE: Final = 0xFFFFFFFF
"""In the place of a number that stands in the ZIP64 record."""
_ENCRYPTED: Final = 0x2041
_UTF_8: Final = 0x0800
_UNIX: Final = (3, 19)
_STORED: Final = 0
_DEFLATED: Final = 8
_METHODS: Final = {
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstd",
    95: "xz",
    98: "ppmd",
    99: "aes",
}


class _Where(NamedTuple):
    """Where the central directory lies, and by how much all told offsets are off."""

    start: int
    end: int
    members: int
    shift_bytes: int


class _Entry(NamedTuple):
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int


class Zip:
    """See :class:`initializer.archives.members.Archive`."""

    is_summed = True

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._entry: _Entry | None = None
        self._where: _Where | None = None

    def members(self) -> Iterator[Member]:
        where = self._where = self._found()
        packed_bytes = unpacked_bytes = count = 0
        at = where.start
        while at < where.end:
            member, entry, at = self._central(at, where)
            count += 1
            unpacked_bytes += entry.size_bytes
            packed_bytes += entry.packed_bytes + _LOCAL.size
            if excessive(unpacked_bytes, self._size_bytes):
                raise BadArchiveError(
                    f"{unpacked_bytes} bytes and more come out of its {self._size_bytes}: it is a bomb"
                )
            if packed_bytes > where.start:
                raise BadArchiveError("its members overlap: it is a bomb, or damaged")
            self._entry = entry
            if member.kind is Kind.SYMLINK and not member.flaw:
                member = member._replace(target=os.fsdecode(b"".join(self.content())))
                self._entry = entry
            yield member
        if at != where.end or count != where.members:
            raise BadArchiveError("it is damaged: its directory isn't what its end tells")

    def content(self) -> Iterator[bytes]:
        entry, where, self._entry = self._entry, self._where, None
        if entry is None or where is None:
            raise AssertionError("a member was given, and its content not yet")
        local = self._read(entry.offset, _LOCAL)
        if local[0] != b"PK\3\4":
            raise BadArchiveError("it is damaged: a member isn't where its directory says")
        start = entry.offset + _LOCAL.size + local[-2] + local[-1]
        if start + entry.packed_bytes > where.start:
            raise BadArchiveError("it is damaged: a member is larger than the archive")
        size_bytes = crc = 0
        for data in self._unpacked(entry, start):
            size_bytes += len(data)
            if size_bytes > entry.size_bytes:
                raise BadArchiveError("a member holds more than its header tells")
            crc = zlib.crc32(data, crc)
            yield data
        if size_bytes != entry.size_bytes:
            raise BadArchiveError("a member holds less than its header tells")
        if crc != entry.crc:
            raise BadArchiveError("it is damaged: a member's CRC is wrong")

    def _unpacked(self, entry: _Entry, at: int) -> Iterator[bytes]:
        inflater: Any = zlib.decompressobj(-15) if entry.method == _DEFLATED else None
        left, packed = entry.packed_bytes, b""
        while left or (inflater is not None and not inflater.eof):
            if not packed:
                packed = os.pread(self._descriptor, min(left, CHUNK_BYTES), at)
                at += len(packed)
                left -= len(packed)
            if inflater is None:
                if not packed:
                    raise BadArchiveError("it is cut short")
                yield packed
                packed = b""
                continue
            try:
                data = inflater.decompress(packed, CHUNK_BYTES)
            except zlib.error as error:
                raise BadArchiveError(f"it is damaged: {error}") from error
            if inflater.eof and (left or inflater.unused_data):
                raise BadArchiveError("it is damaged: a member ends before its data does")
            if not (data or packed or inflater.eof):
                raise BadArchiveError("it is damaged: a member's data ends before the member does")
            packed = inflater.unconsumed_tail
            if data:
                yield data

    def _found(self) -> _Where:
        """The central directory, by what stands at the archive's end."""
        tail_at = max(0, self._size_bytes - _END.size - _MOST_COMMENT_BYTES)
        tail = os.pread(self._descriptor, self._size_bytes - tail_at, tail_at)
        found = tail.rfind(b"PK\5\6")
        while found >= 0:
            if len(tail) - found >= _END.size:
                end = _END.unpack_from(tail, found)
                if found + _END.size + end[-1] == len(tail):
                    break
            found = tail.rfind(b"PK\5\6", 0, found)
        else:
            raise BadArchiveError("it is cut short or no zip: the end of the zip isn't there")
        at = tail_at + found
        _, disk, first_disk, _, count, size_bytes, offset, _ = end
        if (
            at >= _LOCATOR.size
            and (locator := self._read(at - _LOCATOR.size, _LOCATOR))[0] == b"PK\6\7"
        ):
            at, count, size_bytes, offset, disk, first_disk = self._end_64(at, locator[2])
        if disk or first_disk:
            raise BadArchiveError("it is one of several volumes")
        start = at - size_bytes
        if start < 0 or start < offset:
            raise BadArchiveError("it is damaged: its directory is larger than the archive")
        return _Where(start, at, count, start - offset)

    def _end_64(self, end_at: int, told_at: int) -> tuple[int, int, int, int, int, int]:
        beside = end_at - _LOCATOR.size - _END_64.size
        for at in (told_at, beside):  # beside: something was put before the archive
            if 0 <= at <= beside:
                signature, _, _, _, disk, first_disk, _, count, size_bytes, offset = self._read(
                    at, _END_64
                )
                if signature == b"PK\6\6":
                    return at, count, size_bytes, offset, disk, first_disk
        raise BadArchiveError("it is damaged: its ZIP64 end isn't where it says")

    def _central(self, at: int, where: _Where) -> tuple[Member, _Entry, int]:
        record = self._read(at, _CENTRAL)
        (signature, made_by, _, flags, method, time, date, crc, packed_bytes, size_bytes) = record[
            :10
        ]
        name_bytes, extra_bytes, comment_bytes, disk, _, attributes, offset = record[10:]
        at += _CENTRAL.size
        rest = os.pread(self._descriptor, name_bytes + extra_bytes, at)
        at += name_bytes + extra_bytes + comment_bytes
        if signature != b"PK\1\2" or at > where.end or len(rest) != name_bytes + extra_bytes:
            raise BadArchiveError("it is damaged: its directory can't be read")
        raw = rest[:name_bytes]
        extra = dict(_records(rest[name_bytes:]))
        numbers = [size_bytes, packed_bytes, offset]
        if _MORE in numbers:
            numbers = _numbers_64(numbers, extra.get(1, b""))
        size_bytes, packed_bytes, offset = numbers
        entry = _Entry(method, crc, packed_bytes, size_bytes, offset + where.shift_bytes)
        is_unix = made_by >> 8 in _UNIX
        unix = attributes >> 16 if is_unix else 0
        kind, flaw = _kind(raw, unix, size_bytes)
        if flags & _ENCRYPTED:
            flaw = "it is encrypted"
        elif method not in (_STORED, _DEFLATED):
            flaw = f"it is compressed by {_METHODS.get(method, 'an unknown method')} ({method})"
        elif disk not in (0, 0xFFFF):
            flaw = "it is on another volume"
        return (
            Member(
                _name(raw, is_unix, flags, extra.get(0x7075, b"")),
                kind,
                size_bytes if kind is Kind.FILE else 0,
                unix & 0o7777 if unix else None,
                _mtime_ns(time, date, extra.get(0x5455, b"")),
                flaw=flaw,
            ),
            entry,
            at,
        )

    def _read(self, at: int, form: struct.Struct) -> tuple[Any, ...]:
        data = os.pread(self._descriptor, form.size, at) if at < self._size_bytes else b""
        if len(data) < form.size:
            raise BadArchiveError("it is damaged: it points beyond its end")
        return form.unpack(data)


def _kind(raw: bytes, unix: int, size_bytes: int) -> tuple[Kind, str]:
    type_ = stat.S_IFMT(unix)
    if raw.endswith(b"/") or type_ == stat.S_IFDIR:
        return Kind.DIRECTORY, "it is a directory with content" if size_bytes else ""
    if type_ == stat.S_IFLNK:
        too_long = size_bytes > MOST_TARGET_BYTES
        return Kind.SYMLINK, "its target is too long" if too_long else ""
    is_file = type_ in (0, stat.S_IFREG)
    return Kind.FILE, "" if is_file else "it is neither a file, a directory nor a symlink"


def _records(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        number, size_bytes = struct.unpack_from("<2H", extra, at)
        yield number, extra[at + 4 : at + 4 + size_bytes]
        at += 4 + size_bytes


def _numbers_64(numbers: list[int], record: bytes) -> list[int]:
    found, at = [], 0
    for number in numbers:
        if number != _MORE:
            found.append(number)
        elif at + 8 <= len(record):
            found.append(int.from_bytes(record[at : at + 8], "little"))
            at += 8
        else:
            raise BadArchiveError("it is damaged: a ZIP64 number is missing")
    return found


def _name(raw: bytes, is_unix: bool, flags: int, unicode_record: bytes) -> str:
    if flags & _UTF_8:
        return raw.decode("utf-8", "surrogateescape")
    if unicode_record[:1] == b"\1" and unicode_record[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
        return unicode_record[5:].decode("utf-8", "surrogateescape")
    # What a Unix packed has the bytes that its files' names had; all else has DOS's first code page.
    return os.fsdecode(raw) if is_unix else raw.decode("cp437")


def _mtime_ns(time: int, date: int, unix_record: bytes) -> int | None:
    if len(unix_record) >= 5 and unix_record[0] & 1:
        return int.from_bytes(unix_record[1:5], "little", signed=True) * 1_000_000_000
    try:
        # Without a time zone: a container's own is UTC.
        moment = datetime(
            1980 + (date >> 9),
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            2 * (time & 31),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000_000
