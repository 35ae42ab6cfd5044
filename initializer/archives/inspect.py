"""An archive looked at as a whole, before its first member is written: every name, every size, every checksum."""

import os
import threading
from typing import NamedTuple

from initializer import place
from initializer.archives.claims import Claims, why_taken
from initializer.archives.members import (
    MOST_MEMBERS,
    Archive,
    BadArchiveError,
    Kind,
    Member,
    is_inside,
    place_of,
    shown,
    why_misplaced,
    why_target_refused,
)
from initializer.plan import Disk, Found
from initializer.space import Need, Room, rounded, why_too_little
from lighterman.errors import CannotWriteError, DeadlineError


class Site(NamedTuple):
    """Where an archive's members go."""

    base: str
    """The directory that they are below, absolute, with a slash at its end."""
    root: int
    roots: tuple[str, ...]
    """All destinations."""
    owner: int
    """Its number among the claims."""


class Contents(NamedTuple):
    """What an archive comes to."""

    members: int
    files: int
    size_bytes: int


class Inspection:
    """One look through an archive, whose members are claimed as it goes."""

    def __init__(
        self, site: Site, claims: Claims, disk: Disk, room: Room, stop: threading.Event
    ) -> None:
        self._site = site
        self._root = site.roots[site.root]
        self._root_set = frozenset(site.roots)
        self._real_root = os.path.realpath(self._root or "/")
        self._claims = claims
        self._disk = disk
        self._room = room
        self._stop = stop
        self._known = [site.base]
        """The directory that was looked at last, and those above it up to the base."""
        self._is_there = [True]
        self._need_bytes = self._need_files = self._largest_replaced_bytes = 0

    def of(self, archive: Archive) -> Contents:
        """
        What it holds. ``BadArchiveError`` for an archive or a member that can't be taken, ``CannotWriteError``
        for what stands in the way and where the space isn't enough, ``DeadlineError`` when told to stop.
        """
        count = files = size_bytes = 0
        for member in archive.members():
            count += 1
            if count > MOST_MEMBERS:
                raise BadArchiveError(f"it has more than {MOST_MEMBERS} members")
            if self._stop.is_set():
                raise stopped()
            reason = why_misplaced(member, self._site.base, self._root, self._root_set)
            reason = reason or self._why_refused(member)
            if reason:
                raise BadArchiveError(f"{shown(member.name)}: {reason}")
            if member.kind is Kind.FILE:
                size_bytes += member.size_bytes
                self._require_room(is_all=False)
                for _ in archive.content() if archive.is_summed else ():
                    if self._stop.is_set():
                        raise stopped()
            files += member.kind is not Kind.DIRECTORY
        self._require_room(is_all=True)
        return Contents(count, files, size_bytes)

    def _why_refused(self, member: Member) -> str | None:
        name = place_of(member.name)
        if member.kind is Kind.DIRECTORY:
            path = self._site.base + name.removesuffix("/")
            return self._enter(f"{path}/") if name else None
        path = self._site.base + name
        parent = path[: path.rindex("/") + 1]
        reason = self._enter(parent) or self._why_link_refused(member, parent)
        if reason:
            return reason
        owner = self._claims.add(path, self._site.owner, member.kind, member.target)
        if owner is not None:
            return why_taken(owner, self._site.owner)
        self._look_at(path, member)
        return None

    def _enter(self, directory: str) -> str | None:
        """Look at a directory and at those above it that aren't known yet, and claim it."""
        known, is_there = self._known, self._is_there
        while not directory.startswith(known[-1]):
            known.pop()
            is_there.pop()
        while known[-1] != directory:
            child = directory[: directory.index("/", len(known[-1])) + 1]
            owner = self._claims.add(child[:-1], self._site.owner, Kind.DIRECTORY)
            if owner is not None:
                return why_taken(owner, self._site.owner)
            found = self._disk.directory(self._site.root, child) if is_there[-1] else Found.ABSENT
            if found is Found.LEAVES:
                return f"{child[:-1]} is a symlink that leaves the destination"
            if found is Found.OTHER:
                raise CannotWriteError(
                    f"{child[:-1]} is there and no directory",
                    hint="take away what is in the way, or choose another destination",
                )
            known.append(child)
            is_there.append(found is Found.DIRECTORY)
        return None

    def _why_link_refused(self, member: Member, parent: str) -> str | None:
        if member.kind is Kind.HARD_LINK:
            target = self._site.base + place_of(member.target)
            if not self._claims.has_file(target, self._site.owner):
                return f"it is a hard link to {shown(member.target)}, which is no file before it"
        if member.kind is Kind.SYMLINK:
            directory = os.path.realpath(parent)
            reason = why_target_refused(member.target, directory, self._real_root)
            if reason:
                return reason
            if not is_inside(os.path.realpath(f"{directory}/{member.target}"), self._real_root):
                return f"it is a symlink to {shown(member.target)}, which leaves the destination"
        return None

    def _look_at(self, path: str, member: Member) -> None:
        on_disk = self._disk.file(path) if self._is_there[-1] else None
        if on_disk is not None and on_disk.is_directory:
            raise CannotWriteError(
                f"{path} is there and a directory",
                hint="take away what is in the way, or choose another destination",
            )
        if member.kind is not Kind.FILE:
            return
        need_bytes = rounded(member.size_bytes, self._room.block_bytes)
        if on_disk is not None and on_disk.is_file:
            # It makes room once the new one has its name, and so needs the room of one more.
            self._need_bytes -= place.allocated_bytes(path)
            self._largest_replaced_bytes = max(self._largest_replaced_bytes, need_bytes)
        else:
            self._need_files += 1
        self._need_bytes += need_bytes

    def _require_room(self, *, is_all: bool) -> None:
        need = Need(max(0, self._need_bytes) + self._largest_replaced_bytes, self._need_files)
        reason = why_too_little(need, self._room)
        if reason:
            seen = "" if is_all else " by its first members"
            raise CannotWriteError(
                f"no space in {self._root or '/'}:{seen} {reason}",
                hint="give the volume a larger size limit, or unpack less",
            )


def stopped() -> DeadlineError:
    """What a process that is told to stop ends with."""
    return DeadlineError(
        "told to stop before everything was unpacked",
        hint="start it again on the same volume: it goes on from here",
    )
