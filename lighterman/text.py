"""Texts that come from elsewhere, as keys and paths do, made fit for a line that somebody reads."""

import re
from typing import Final

_UNPRINTABLE_IN_JSON: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON leaves as it is and a terminal obeys: C1 controls, line separators, directions of writing."""


def one_line(text: str) -> str:
    """
    ``text`` with everything that isn't printable as Python writes it in a string: control characters mean
    nothing to a terminal then, and it is one line that any encoding takes.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def encodable(text: str) -> str:
    """``text`` with the bytes of a file's name that are no UTF-8 escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def plain_json(encoded: str) -> str:
    """The same JSON document, with the control characters that JSON would let pass escaped."""
    return _UNPRINTABLE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded)


def human_bytes(size_bytes: int) -> str:
    """A size for people: ``17 B``, ``1.5 MiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
