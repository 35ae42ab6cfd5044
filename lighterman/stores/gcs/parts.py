"""A part's bytes on their way, and what they add up to."""

from collections.abc import Iterator

from lighterman.checksums import CRC32C, new_sum
from lighterman.stores.contract import Window
from lighterman.stores.windows import CHUNK_BYTES, WindowBody


class PartBytes:
    """
    A window as bytes ``start`` to ``end`` of an object. Its CRC32C is of the bytes as they were first read, so
    that a file which is written to meanwhile doesn't go unnoticed.
    """

    def __init__(self, window: Window, start: int) -> None:
        self.start = start
        self.end = start + window.size_bytes
        self._window = window
        self._sum = new_sum(CRC32C)
        self._summed = start

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """The object's bytes from ``begin`` to ``end``. ``SourceChangedError`` where the file ends before."""
        if begin > self._summed:
            self._read_on(begin)
        yield from self._pieces(begin, end)

    def crc32c(self) -> str:
        """Of the whole part; what wasn't sent is read for it."""
        self._read_on(self.end)
        return self._sum.hexdigest()

    def _read_on(self, end: int) -> None:
        for _ in self._pieces(self._summed, end):
            pass

    def _pieces(self, begin: int, end: int) -> Iterator[bytes]:
        body = WindowBody(self._window)
        body.seek(begin - self.start)
        at = begin
        while at < end:
            data = body.read(min(CHUNK_BYTES, end - at))
            at += len(data)
            if at > self._summed:
                self._sum.update(data[len(data) - (at - self._summed) :])
                self._summed = at
            yield data
