"""
Where a long listing may be cut in two, guessed from nothing but the keys that were seen. Pure.

Any place will do for the listing to be whole; a good one has about as many keys before as behind it.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

_DIGITS: Final = "0123456789"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz"
_KINDS: Final = (_DIGITS, _LOWER.upper(), _LOWER)
_RANKS: Final = "".join(_KINDS)


class Seen(NamedTuple):
    """What is known of a part of a listing while its end is still to come."""

    first: str
    """Of the latest page."""
    last: str
    horizon: str | None
    """Behind it is nothing of this part; ``None``: not known."""
    is_full: bool
    """Whether keys go on up to the horizon, as far as is known."""


def width(seen: Seen) -> float:
    """About how many pages are still to come, if keys go on as they went in the latest one."""
    first, last, horizon, _ = seen
    if horizon is None:
        return float("inf")
    far, near = _shared(last, horizon), _shared(first, last)
    if far > near or far >= len(horizon) or near >= min(len(first), len(last)):
        return 0.0
    left = float(max(0, _rank(horizon[far]) - _rank(last[far]) - 1))
    for character in last[far + 1 : near + 1]:
        kind = _kind(character)
        if kind:
            left = left * len(kind) + len(kind) - 1 - kind.index(character)
    return left / max(1, _rank(last[near]) - _rank(first[near]))


def place(prefix: str, seen: Seen) -> str | None:
    """Where to look whether anything comes behind it, in a listing of ``prefix``; ``None``: nowhere."""
    levels = [level for level in _levels(len(prefix), seen) if level]
    if not levels:
        return None
    # Where the end isn't known, any character of the last key may be the one that all keys share.
    places = levels[-1] if seen.is_full else [one for level in levels for one in level]
    return places[len(places) // 2]


def _levels(least: int, seen: Seen) -> Iterator[list[str]]:
    """
    Places between the last key and the horizon, in order. Each changes one character of the last key to a later
    one. Characters that differ within the page are left alone: what they tell apart is less than a page.
    """
    first, last, horizon, _ = seen
    for at in range(min(_shared(first, last), len(last) - 1), least - 1, -1):
        level = [last[:at] + later for later in _later(last[at])]
        yield level if horizon is None else [one for one in level if one < horizon]


def _later(character: str) -> str:
    """Some characters that come after it: the rest of its kind, and what follows the kind."""
    kind = _kind(character)
    if kind:
        return kind[kind.index(character) + 1 :] + chr(ord(kind[-1]) + 1)
    following = chr(min(ord(character) + 1, 0x10FFFF))
    return "" if following == character or "\ud800" <= following <= "\udfff" else following


def _kind(character: str) -> str:
    return next((kind for kind in _KINDS if character in kind), "")


def _rank(character: str) -> int:
    return bisect_left(_RANKS, character)


def _shared(one: str, other: str) -> int:
    return len(os.path.commonprefix((one, other)))  # noqa: RUF071 - of characters
