"""The bytes of a tar, however it is compressed, from its beginning to its end, in constant memory."""

import os
import zlib
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, cast

from initializer.archives.members import CHUNK_BYTES, BadArchiveError, excessive

if TYPE_CHECKING:
    from initializer.archives.forms import Form

MOST_HEADER_BYTES: Final = 64 * 1024
"""No header of a tar's member (a long name, pax records) may be larger: each is held in memory whole."""
_CUT_SHORT: Final = "it is cut short"
_GZIP: Final = 31
"""zlib's window bits for a gzip member, whose CRC and length it checks: https://zlib.net/manual.html"""
_ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_SKIPPABLE: Final = range(0x184D2A50, 0x184D2A60)


class Source(Protocol):
    """Unpacked bytes in their order."""

    def read(self, size_bytes: int) -> bytes:
        """At most so many; none only at the end. ``BadArchiveError`` for what can't be unpacked."""
        ...

    def skip(self, size_bytes: int) -> bool:
        """Pass over so many without reading them, if that can be."""
        ...


def source_of(form: "Form", descriptor: int, size_bytes: int, most_window_bytes: int) -> Source:
    """The bytes of the tar in an open file."""
    if form == "tar.gz":
        return _Gzip(descriptor)
    if form == "tar.zst":
        return _Zstd(descriptor, size_bytes, most_window_bytes)
    return _Plain(descriptor)


class _Plain:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0

    def read(self, size_bytes: int) -> bytes:
        data = os.pread(self._descriptor, size_bytes, self._at)
        self._at += len(data)
        return data

    def skip(self, size_bytes: int) -> bool:
        self._at += size_bytes
        return True


class _Gzip:
    """Gzip members one after another, with zeros after the last as a tape has them."""

    def __init__(self, descriptor: int) -> None:
        self._file = _Plain(descriptor)
        self._packed = b""
        self._inflater: Any = zlib.decompressobj(_GZIP)
        self._is_first = True

    def read(self, size_bytes: int) -> bytes:
        while True:
            if self._inflater is None and not self._next_member():
                return b""
            packed = self._packed or self._file.read(CHUNK_BYTES)
            try:
                data: bytes = self._inflater.decompress(packed, size_bytes)
            except zlib.error as error:
                raise BadArchiveError(f"it is damaged or no gzip: {error}") from error
            if self._inflater.eof:
                self._packed = self._inflater.unused_data
                self._inflater = None
            else:
                self._packed = self._inflater.unconsumed_tail
                if not packed and not data:
                    raise BadArchiveError(_CUT_SHORT)
            if data:
                return data

    def skip(self, size_bytes: int) -> bool:  # noqa: ARG002 - as in Source
        return False

    def _next_member(self) -> bool:
        while True:
            self._packed = self._packed.lstrip(b"\0") or self._file.read(CHUNK_BYTES)
            if not self._packed:
                return False
            if not self._packed.startswith(b"\0"):
                self._inflater = zlib.decompressobj(_GZIP)
                return True


class _Zstd:
    def __init__(self, descriptor: int, size_bytes: int, most_window_bytes: int) -> None:
        import zstandard

        require_whole_frames(descriptor, size_bytes)
        self._error = zstandard.ZstdError
        # The decoder takes a limit by name of a power of two, and none below 1 KiB.
        window_bytes = 1 << max(10, min(27, most_window_bytes.bit_length() - 1))
        self._window_bytes = window_bytes
        self._reader = zstandard.ZstdDecompressor(max_window_size=window_bytes).stream_reader(
            cast("IO[bytes]", _Plain(descriptor)), read_size=CHUNK_BYTES, read_across_frames=True
        )

    def read(self, size_bytes: int) -> bytes:
        try:
            data: bytes = self._reader.read(size_bytes)
        except self._error as error:
            if "too much memory" in str(error):
                raise BadArchiveError(
                    f"its zstd window is larger than the {self._window_bytes} bytes that --memory allows"
                ) from error
            raise BadArchiveError(f"it is damaged or no zstd: {error}") from error
        return data

    def skip(self, size_bytes: int) -> bool:  # noqa: ARG002 - as in Source
        return False


def require_whole_frames(descriptor: int, size_bytes: int) -> None:
    """
    ``BadArchiveError`` unless the file is nothing but whole zstd frames, which the decoder doesn't tell from
    one that is cut short: https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
    """
    at = 0
    while at < size_bytes:
        at = _after_frame(descriptor, at)
    if at > size_bytes:
        raise BadArchiveError(_CUT_SHORT)


def _after_frame(descriptor: int, at: int) -> int:
    head = os.pread(descriptor, 8, at)
    magic = int.from_bytes(head[:4], "little")
    if magic in _ZSTD_SKIPPABLE:
        return at + 8 + int.from_bytes(head[4:], "little")
    if len(head) < 6 or magic != _ZSTD_MAGIC:
        raise BadArchiveError("it is damaged or no zstd: no frame where one must begin")
    described = head[4]
    is_single, has_checksum = described >> 5 & 1, described >> 2 & 1
    content_size_bytes = (is_single, 2, 4, 8)[described >> 6]
    at += 5 + (1 - is_single) + (0, 1, 2, 4)[described & 3] + content_size_bytes
    is_last = False
    while not is_last:
        block = os.pread(descriptor, 3, at)
        if len(block) < 3:
            raise BadArchiveError(_CUT_SHORT)
        number = int.from_bytes(block, "little")
        is_last, kind = bool(number & 1), number >> 1 & 3
        at += 3 + (1 if kind == 1 else number >> 3)
    return at + 4 * has_checksum


class Forward:
    """
    What ``tarfile`` reads from, forwards only, and without ever holding a header of more than
    ``MOST_HEADER_BYTES``. ``BadArchiveError`` when more comes out than any honest archive holds.
    """

    def __init__(self, source: Source, packed_bytes: int) -> None:
        self._source = source
        self._packed_bytes = packed_bytes
        self._at = 0
        self.last_header = b""
        """What was read last for a header."""

    def tell(self) -> int:
        return self._at

    def read(self, size_bytes: int) -> bytes:
        if not 0 <= size_bytes <= MOST_HEADER_BYTES:
            raise BadArchiveError(f"it has a header of more than {MOST_HEADER_BYTES} bytes")
        parts, left = [], size_bytes
        while left and (data := self.take(left)):
            parts.append(data)
            left -= len(data)
        self.last_header = b"".join(parts)
        return self.last_header

    def take(self, size_bytes: int) -> bytes:
        """Content: at most so many bytes, none at the end."""
        data = self._source.read(min(size_bytes, CHUNK_BYTES))
        self._at += len(data)
        if data and excessive(self._at, self._packed_bytes):
            raise BadArchiveError(
                f"more than {self._at} bytes come out of its {self._packed_bytes}: it is a bomb"
            )
        return data

    def seek(self, at: int) -> None:
        if at < self._at:
            raise BadArchiveError("it is damaged: a size in it is negative")
        if self._source.skip(at - self._at):
            self._at = at
        while self._at < at and self.take(at - self._at):
            pass

    def drain(self) -> None:
        """Read on to the end, where the last checksum stands."""
        while self.take(CHUNK_BYTES):
            pass
