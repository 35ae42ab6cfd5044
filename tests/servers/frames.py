"""HTTP/1.1 messages as they are on the wire: heads read and written, bodies passed on in pieces."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

CHUNK_BYTES = 64 * 1024


@dataclass
class Head:
    first_line: str
    headers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key.lower() == name), default)

    def to_bytes(self) -> bytes:
        lines = [self.first_line, *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


def read_head(reader: BinaryIO) -> Head | None:
    first = reader.readline(CHUNK_BYTES)
    if not first:
        return None
    head = Head(first.decode("latin-1").rstrip("\r\n"))
    while (line := reader.readline(CHUNK_BYTES)) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        head.headers.append((name, value.strip()))
    return head


def copy_body(
    reader: BinaryIO, head: Head, send: Callable[[bytes], object], most_bytes: int | None
) -> bool:
    """Pass a body on in pieces; false when it ended early, at ``most_bytes`` or by its sender."""
    if head.get("transfer-encoding").lower() == "chunked":
        return _copy_chunked(reader, send, most_bytes)
    length = head.get("content-length")
    left = int(length) if length else None
    while left != 0:
        size = min(x for x in (CHUNK_BYTES, left, most_bytes) if x is not None)
        if size == 0:
            return False
        chunk = reader.read1(size)  # type: ignore[attr-defined]  # a BufferedReader
        if not chunk:
            return left is None
        send(chunk)
        left = None if left is None else left - len(chunk)
        most_bytes = None if most_bytes is None else most_bytes - len(chunk)
    return True


def _copy_chunked(
    reader: BinaryIO, send: Callable[[bytes], object], most_bytes: int | None
) -> bool:
    while True:
        line = reader.readline(CHUNK_BYTES)
        if not line:
            return False
        send(line)
        left = int(line.split(b";", 1)[0], 16)
        last = left == 0
        if last:
            while trailer := reader.readline(CHUNK_BYTES):
                send(trailer)
                if trailer in {b"\r\n", b"\n"}:
                    return True
            return False
        left += 2  # its line end
        while left:
            size = min(x for x in (CHUNK_BYTES, left, most_bytes) if x is not None)
            chunk = reader.read(size)
            if not chunk:
                return False
            send(chunk)
            left -= len(chunk)
            most_bytes = None if most_bytes is None else most_bytes - len(chunk)


def origin_form(target: str) -> str:
    if "://" not in target.split("?", 1)[0]:
        return target
    rest = target.split("://", 1)[1]
    cut = next((index for index, letter in enumerate(rest) if letter in "/?"), len(rest))
    return rest[cut:] if rest[cut : cut + 1] == "/" else "/" + rest[cut:]
