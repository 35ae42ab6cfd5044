"""The CRC32C of outputs: of a whole file, of one that grew, and of what was sent in parts."""

from collections.abc import Mapping

from lighterman.checksums import CRC32C, joined_crc32c, new_sum, of_window
from lighterman.errors import SourceChangedError
from lighterman.stores.contract import Window
from lighterman.stores.windows import CHUNK_BYTES, WindowBody


def crc32c_of(window: Window) -> str:
    """Eight hexadecimal digits. ``SourceChangedError`` where the file ends before its window does."""
    return of_window(CRC32C, window)


def crc32c_of_grown(window: Window, head_bytes: int, head_crc32c: str) -> str | None:
    """That of the window, if its first bytes are those of the head's sum; else ``None``. Reads them once."""
    total = new_sum(CRC32C)
    body = WindowBody(window)
    left = head_bytes
    try:
        while left and (data := body.read(min(CHUNK_BYTES, left))):
            total.update(data)
            left -= len(data)
        if left or total.hexdigest() != head_crc32c:
            return None
        while data := body.read(CHUNK_BYTES):
            total.update(data)
    except SourceChangedError:  # it was cut meanwhile
        return None
    return total.hexdigest()


def joined(parts: Mapping[int, tuple[str, int]]) -> str:
    """That of the whole, of the sums and sizes of its parts by number."""
    total = 0
    for number in sorted(parts):
        crc32c, size_bytes = parts[number]
        total = joined_crc32c(total, int(crc32c, 16), size_bytes)
    return f"{total:08x}"
