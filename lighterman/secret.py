"""
A value that must not be seen: credentials travel as this type, so that no repr or log shows them.

Types guard what we print ourselves. For what others put into their error texts (a URL with a signature, a
header), every value that ever became a ``Secret`` is remembered, and ``scrub`` takes it out of any text that
leaves the process.
"""

from typing import Final
from urllib.parse import quote

MASK: Final = "********"
_LEAST_SCRUBBED: Final = 8
"""Shorter values stand in ordinary words too often; masking them would garble every line. No store takes a
shorter secret (MinIO: 8)."""
_known: set[str] = set()


def scrub(text: str) -> str:
    """``text`` with every known secret masked, also in its URL-quoted form."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, MASK)
    return text


class Secret:
    """A string whose ``repr``, ``str`` and ``format`` are masked; only ``reveal`` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        if len(value) >= _LEAST_SCRUBBED:
            _known.update((value, quote(value, safe=""), quote(value)))

    def reveal(self) -> str:
        """The value itself, for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is never pickled or copied out of the process")
