"""
How a file's state gets into the bucket: sent, or made inside the store of what the bucket has. Pure.

What the journal remembers of a file is a claim about its content. How much must be shown before it is believed
depends on how the claim came about; the order is from the surest claim to the least.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from sidecar.states import FileState, Synced


class Proof(Enum):
    """What shows that a file has the content of an object that the journal knows."""

    RENAME = auto()
    """
    The kernel told of the rename, and no event since the object was made of it. Device, inode, size and mtime are
    the journal's: nothing is read.
    """
    SUM = auto()
    """Device, inode, size and mtime are the journal's, and so is the CRC32C. Alone, an inode may be another file's by now."""
    CONTENT = auto()
    """The size and the CRC32C are the journal's, and the store's own sum of 128 bits says the same."""


class Copy(NamedTuple):
    """Copy this object inside the store, if there is proof."""

    source: Synced
    proof: Proof


class Extend(NamedTuple):
    """The object becomes the first part of the new one, if the file still begins with it: only the tail is sent."""

    source: Synced


class Abilities(NamedTuple):
    """What the store and this run are able to."""

    copies_parts: bool
    """Whether a part can be made of an object."""
    least_part_bytes: int
    whole_bytes: int
    """Up to here a file is sent in one request, so that nothing is won by parts."""


class Known(NamedTuple):
    """What the journal has that may be the file's content."""

    own: Synced | None
    """Under its own path."""
    origin: Synced | None = None
    """Under the path that the kernel says it was renamed from, without anything having happened to it before."""
    twins: tuple[Synced, ...] = ()
    """Under any path, with its device, inode, size and mtime."""


def ways(
    state: FileState, key: str, known: Known, abilities: Abilities, *, live: bool
) -> list[Copy | Extend]:
    """
    What may spare the sending of this state to this key, the surest first; where none of it holds, or the list is
    empty, it is sent. An empty file is sent: nothing is cheaper.
    """
    if not state.size_bytes:
        return []
    own = known.own if known.own is not None and known.own.key == key else None
    found: list[Copy | Extend] = [*_moved(state, known)]
    if own is not None and own.crc32c is not None:
        if own.state.size_bytes == state.size_bytes:
            is_unwritten = own.state.has_content_of(state)
            found.append(Copy(own, Proof.SUM if is_unwritten else Proof.CONTENT))
        elif live and _has_grown(own, state, abilities):
            found.append(Extend(own))
    return found


def _moved(state: FileState, known: Known) -> Iterable[Copy]:
    origin = known.origin
    if origin is not None and origin.state.has_content_of(state):
        yield Copy(origin, Proof.RENAME)
    own_key = known.own.key if known.own is not None else None
    for twin in known.twins:
        if twin.crc32c is not None and twin.key != own_key and twin.state.has_content_of(state):
            yield Copy(twin, Proof.SUM)


def _has_grown(own: Synced, state: FileState, abilities: Abilities) -> bool:
    is_same_file = own.state[:2] == state[:2]
    had_bytes = own.state.size_bytes
    return (
        abilities.copies_parts
        and is_same_file
        and abilities.least_part_bytes <= had_bytes < state.size_bytes
        and state.size_bytes > abilities.whole_bytes
    )
