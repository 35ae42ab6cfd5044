"""
A value that must not be seen: credentials travel as this type, so that no repr or log shows them.

Types guard what we print ourselves. For what others put into their error texts (a URL with a signature, a
header), every value that ever became a ``Secret`` is remembered, and ``scrub`` takes it out of any text that
leaves the process.
"""

import os
import threading
from typing import Final
from urllib.parse import quote

MASK: Final = "********"
_LEAST_SCRUBBED: Final = 8
"""Shorter values stand in ordinary words too often; masking them would garble every line. No store takes a
shorter secret (MinIO: 8)."""
_known: set[str] = set()
MOST_PASSING: Final = 600
"""More than are in use at once; each is looked for in every text that leaves."""
_passing: dict[str, None] = {}
"""The last ones, the latest last."""
_passing_guard = threading.Lock()
os.register_at_fork(  # a child must not wait for a thread of its parent's
    before=_passing_guard.acquire,
    after_in_parent=_passing_guard.release,
    after_in_child=_passing_guard.release,
)


def scrub(text: str) -> str:
    """``text`` with every known secret masked, also in its URL-quoted form."""
    for value in sorted([*_known, *_passing], key=len, reverse=True):
        if value in text:
            text = text.replace(value, MASK)
    return text


def scrub_passing(value: str) -> None:
    """
    Let ``scrub`` know a secret of which there are ever new ones: a token, the URI of an upload. The last
    ones are remembered, so that a process that lives for weeks doesn't carry all that it ever had.
    """
    with _passing_guard:
        for form in _forms(value):
            _passing.pop(form, None)
            _passing[form] = None
        while len(_passing) > MOST_PASSING:
            del _passing[next(iter(_passing))]


def _forms(value: str) -> tuple[str, ...]:
    if len(value) < _LEAST_SCRUBBED:
        return ()
    return value, quote(value, safe=""), quote(value)


class Secret:
    """A string whose ``repr``, ``str`` and ``format`` are masked; only ``reveal`` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        _known.update(_forms(value))

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
