"""Tars: what they hold, read forwards by the standard library's ``tarfile``."""

import tarfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

from initializer.archives.forms import Form
from initializer.archives.members import CHUNK_BYTES, BadArchiveError, Kind, Member
from initializer.archives.streams import Forward, source_of

_HOSTILE: Final = (
    tarfile.TarError,
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What ``tarfile`` raises for headers that nobody wrote in good faith."""
_MOST_GLOBAL_RECORDS: Final = 256
_END: Final = bytes(tarfile.BLOCKSIZE)
_KINDS: Final = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
}
_OTHERS: Final = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
}


class Tar:
    """See :class:`initializer.archives.members.Archive`."""

    def __init__(
        self, form: Form, descriptor: int, size_bytes: int, most_window_bytes: int
    ) -> None:
        self.is_summed = form != "tar"
        self._form = form
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._most_window_bytes = most_window_bytes
        self._stream: Forward | None = None
        self._left_bytes = 0

    def members(self) -> Iterator[Member]:
        source = source_of(self._form, self._descriptor, self._size_bytes, self._most_window_bytes)
        stream = self._stream = Forward(source, self._size_bytes)
        try:
            tar = tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8")  # type: ignore[arg-type]
            while (info := tar.next()) is not None:
                # Else it remembers all of them. (A streaming tar does so too, before Python 3.13.)
                tar.members = []  # type: ignore[attr-defined]
                if info.size < 0 or len(tar.pax_headers) > _MOST_GLOBAL_RECORDS:
                    raise BadArchiveError("it is damaged: it has a header that can't be")
                self._left_bytes = info.size
                yield _member(info)
        except _HOSTILE as error:
            raise BadArchiveError(f"it is damaged or no tar: {error}") from error
        if stream.last_header != _END:
            # Of a header that it can't read ``tarfile`` makes the end.
            raise BadArchiveError("it is cut short or damaged: the end of the tar isn't there")
        stream.drain()

    def content(self) -> Iterator[bytes]:
        if self._stream is None:
            raise AssertionError("a member was given")
        while self._left_bytes:
            data = self._stream.take(min(self._left_bytes, CHUNK_BYTES))
            if not data:
                raise BadArchiveError("it is cut short")
            self._left_bytes -= len(data)
            yield data


def _member(info: tarfile.TarInfo) -> Member:
    flaw = ""
    if info.issparse():
        flaw = "it is sparse"
    elif info.type not in _KINDS:
        flaw = f"it is {_OTHERS.get(info.type, f'of the type {info.type!r}')}"
    kind = _KINDS.get(info.type, Kind.FILE)
    return Member(
        info.name,
        kind,
        info.size if kind is Kind.FILE else 0,
        info.mode,
        _mtime_ns(info),
        info.linkname,
        flaw,
    )


def _mtime_ns(info: tarfile.TarInfo) -> int | None:
    try:
        seconds = Decimal(info.pax_headers.get("mtime", info.mtime))  # a float has lost digits
        return int(seconds * 1_000_000_000)
    except (InvalidOperation, OverflowError, ValueError):
        return None
