"""What an archive holds, and which of it may be placed below a destination. Pure."""

import os
from collections.abc import Iterator
from enum import Enum
from itertools import dropwhile
from typing import Final, NamedTuple, Protocol

from initializer.keys import STATE_DIRECTORY, why_path_refused, why_unsafe

CHUNK_BYTES: Final = 256 * 1024
"""Content comes in pieces of at most this size."""
MOST_MEMBERS: Final = 10_000_000
"""More is refused: no file system of a volume takes so many names in a sensible time."""
MOST_RATIO: Final = 1000
"""Unpacked to packed. Deflate's own limit is 1,032: only a file of nothing but zeros comes near it."""
FREE_OF_RATIO_BYTES: Final = 64 * 1024 * 1024
"""What is unpacked up to this size may have any ratio."""
MOST_TARGET_BYTES: Final = 4095
"""PATH_MAX without its closing NUL: https://man7.org/linux/man-pages/man2/symlink.2.html"""
_SHOWN_CHARACTERS: Final = 300


class Kind(Enum):
    """What a member becomes."""

    FILE = "f"
    DIRECTORY = "d"
    SYMLINK = "l"
    HARD_LINK = "h"


class Member(NamedTuple):
    """One member, as the archive tells it."""

    name: str
    kind: Kind
    size_bytes: int = 0
    """Of a file's content."""
    mode: int | None = None
    mtime_ns: int | None = None
    target: str = ""
    """Of a link."""
    flaw: str = ""
    """Why it can't be placed, whatever its name is."""


class Archive(Protocol):
    """One archive, open. Its members come in one order, each time that they are asked for."""

    is_summed: bool
    """Whether checksums in it tell of damage to whoever reads the contents too."""

    def members(self) -> Iterator[Member]:
        """
        From the first one. ``BadArchiveError`` where it can't be read, at the latest in the place of the end:
        whoever came to the end knows that it is whole.
        """
        ...

    def content(self) -> Iterator[bytes]:
        """The content of the file that ``members`` gave last, once. ``BadArchiveError`` if it isn't what was told."""
        ...


class BadArchiveError(Exception):
    """An archive that can't be unpacked; the text says why."""


def excessive(unpacked_bytes: int, packed_bytes: int) -> bool:
    """Whether an archive unpacks to more than any honest one would."""
    return unpacked_bytes > max(FREE_OF_RATIO_BYTES, MOST_RATIO * packed_bytes)


def place_of(name: str) -> str:
    """Where a member goes, below the archive's directory; ``""`` is that directory itself (``./`` of a tar)."""
    while name.startswith("./"):
        name = name[2:].lstrip("/") if name[2:3] == "/" else name[2:]
    return "" if name == "." else name


def why_misplaced(member: Member, base: str, root: str, roots: frozenset[str]) -> str | None:
    """
    Why a member can't be placed below ``base`` (absolute, with a slash at its end), whatever is there;
    ``None`` when its name is safe. The rules are those of keys.
    """
    if member.flaw:
        return member.flaw
    place = place_of(member.name)
    if member.kind is Kind.DIRECTORY:
        place = place.removesuffix("/")
    elif not place or place.endswith("/"):
        return "it has no name"
    path = base + place
    return why_unsafe(path[len(root) + 1 :]) or why_unsafe(place) or why_path_refused(path, roots)


def why_target_refused(target: str, directory: str, root: str) -> str | None:
    """
    Why a symlink in ``directory`` may not have this target; ``None`` where it stays below ``root``, whatever
    symlinks of the same kind it leads through. Both are real paths.
    """
    why = None
    if not target or "\0" in target:
        return "it is a symlink to no path"
    steps = [step for step in target.split("/") if step not in ("", ".")]
    end = os.path.normpath(f"{directory}/{target}")
    if len(os.fsencode(target)) > MOST_TARGET_BYTES:
        why = f"is longer than {MOST_TARGET_BYTES} bytes"
    elif target.startswith("/"):
        why = "is absolute"
    elif ".." in dropwhile(lambda step: step == "..", steps):
        why = "has '..' after a name"  # where that leads depends on what the name is
    elif not is_inside(end, root):
        why = "leaves the destination"
    elif is_inside(end, f"{root.rstrip('/')}/{STATE_DIRECTORY}"):
        why = f"leads into {STATE_DIRECTORY}"
    return f"it is a symlink to {shown(target)}, which {why}" if why else None


def shown(name: str) -> str:
    """A name as a message has it: quoted, and not longer than a line."""
    quoted = repr(name)
    return quoted if len(quoted) <= _SHOWN_CHARACTERS else f"{quoted[:_SHOWN_CHARACTERS]}…"


def is_inside(path: str, root: str) -> bool:
    """Whether ``path`` is ``root`` or below it."""
    return path == root or path.startswith(f"{root.rstrip('/')}/")
