"""The head of an HTTP/1.1 answer, as far as a plain read needs it. Pure."""

from typing import Final, NamedTuple

MOST_HEAD_BYTES: Final = 64 * 1024
"""No store's head is near it: what goes on for longer is no answer."""
END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


class Head(NamedTuple):
    """What came before a body whose length is told."""

    status: int
    length_bytes: int
    """Of the body; -1 where it isn't told: in chunks, until the connection's end, or by two lengths."""
    keeps: bool
    """Whether the connection takes another request after this body."""
    fields: bytes
    """All of it, in lower case."""
    text: bytes
    """All of it, as it came."""

    def field(self, name: bytes) -> str:
        """The value of a field by its name in lower case; ``""`` without such a field."""
        at = self.fields.find(b"\r\n" + name + b":")
        if at < 0:
            return ""
        start = at + len(name) + 3
        return self.text[start : self.text.find(b"\r\n", start)].decode("utf-8", "replace").strip()

    def mapping(self) -> dict[str, str]:
        """All fields, by their names in lower case."""
        lines = self.text.decode("utf-8", "replace").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}


def parsed(text: bytes) -> Head | None:
    """The head in ``text``, which ends with the empty line; ``None`` for what is none."""
    fields = text.lower()
    if not fields.startswith(b"http/1.") or not text[9:12].isdigit():
        return None
    length_bytes = _length(text, fields)
    keeps = length_bytes >= 0 and fields[7:8] != b"0" and b"\r\nconnection: close" not in fields
    return Head(int(text[9:12]), length_bytes, keeps, fields, text)


def _length(text: bytes, fields: bytes) -> int:
    at = fields.find(_LENGTH)
    if at < 0 or b"\r\ntransfer-encoding:" in fields:
        return -1
    start = at + len(_LENGTH)
    length = text[start : text.find(b"\r\n", start)].strip()
    return int(length) if length.isdigit() and fields.find(_LENGTH, start) < 0 else -1
