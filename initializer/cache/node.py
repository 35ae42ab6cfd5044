"""A node's directory of what was fetched before, shared by its pods. It is of use or it isn't; it never fails a job."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable
from typing import Final

from initializer import place
from initializer.cache.copying import (
    Copier,
    SourceUnreadableError,
    copied,
    crc32c_of,
    crc32c_of_bytes,
    write_all,
)
from initializer.cache.locks import Locks, lease_of
from initializer.cache.record import MOST_RECORD_BYTES, recorded
from initializer.cache.room import Room
from initializer.cache.tree import LOCK_FILE, Entry, Stray, Tree
from initializer.entries import CacheSetting
from initializer.plan import Fetch
from lighterman.clock import Clock
from lighterman.log import get_logger
from lighterman.stores.contract import Attributes, Checksum

SHARED: Final = 0o1777
"""The mode of a cache directory that is made here: every user has a tree of its own in it, as in /tmp."""
DEFAULT_SHARE: Final = 0.5
"""Of its filesystem, where no size is given: a node whose disk is full evicts its pods."""
SMALL_BYTES: Final = 64 * 1024
"""Sharing extents is worth its system calls for what is larger."""


class NodeCache:
    """Entries of one user, and root's to read. Safe to share among threads; ``close`` it."""

    def __init__(
        self,
        trees: list[Tree],
        room: Room | None,
        locks: Locks | None,
        limit_bytes: int,
        clock: Clock,
    ) -> None:
        self._trees = trees
        self._own = trees[0]
        self._room = room
        self._locks = locks
        self._leases = locks
        self.limit_bytes = limit_bytes
        """What this user's entries may take together."""
        self._clock = clock
        self._copier = Copier()
        self._telling = threading.Lock()
        self._told: set[str] = set()
        self._spoiled: set[str] = set()
        self.device = self._own.device

    def takes(self, size_bytes: int) -> bool:
        """Whether a file of that size would be kept, as far as can be told before."""
        return self._room is not None and size_bytes + MOST_RECORD_BYTES <= self.limit_bytes

    def has(self, name: str) -> bool:
        """Whether there is something of that name that wasn't found to be of no use."""
        return name not in self._spoiled and any(tree.has(name) for tree in self._trees)

    def lease(self, name: str) -> bool:
        """Whether this process is the one to bring that entry. True too where there are no locks."""
        leases = self._leases
        if leases is None:
            return True
        try:
            return leases.try_hold(lease_of(name))
        except OSError as error:
            self._leases = None
            self._tell("init.cache_not_locked", error.strerror or str(error))
            return True

    def release(self, name: str) -> None:
        """The entry is there, or another may bring it."""
        if self._locks is not None:
            self._locks.release(lease_of(name))

    def find(self, name: str, size_bytes: int) -> Entry | None:
        """The whole, open entry of that name. What stands in its place and isn't one is dropped."""
        for tree in self._trees:
            found = tree.find(name)
            if isinstance(found, Entry) and found.record.size_bytes == size_bytes:
                return found
            if isinstance(found, Entry):
                os.close(found.descriptor)
            if found is not None:
                self._drop(tree, name, found.why if isinstance(found, Stray) else "another size")
        return None

    def copy_out(self, entry: Entry, item: Fetch, descriptor: int) -> bool:
        """
        Bring the entry's content into the empty file. False where it isn't what the entry's record says, or
        can't be read: then the entry is dropped. ``CannotWriteError`` where the file can't be written.
        """
        try:
            is_right = self._copied_out(entry, descriptor) == entry.record.crc32c
        except SourceUnreadableError:
            is_right = False
        except OSError as error:
            raise place.cannot_write(item.path, error, item.size_bytes) from error
        if is_right:
            self._own.used(entry, self._clock.wall())
        else:
            self.refuse(entry, "its content isn't what its record says")
        return is_right

    def refuse(self, entry: Entry, why: str) -> None:
        """Drop the entry, or at least don't use it again."""
        for tree in self._trees:
            self._drop(tree, entry.name, why)

    def keep(
        self,
        name: str,
        item: Fetch,
        descriptor: int,
        attributes: Attributes,
        checksum: Checksum | None,
        *,
        reserved_bytes: int,
    ) -> None:
        """
        Take a copy of a whole file, which was compared with ``checksum`` if that is known. Where it can't be
        done it is said, once. ``reserved_bytes`` of the filesystem are to stay free for others.
        """
        room = self._room
        if room is None or not self.takes(item.size_bytes):
            return
        size_bytes = item.size_bytes + len(
            recorded(name, item.size_bytes, "0" * 8, checksum, attributes)
        )
        begun_bytes = 0
        try:
            temporary = room.begin(name, size_bytes)
            if temporary is None:
                return
            begun_bytes = size_bytes
            try:
                crc32c = self._copied_in(
                    descriptor, temporary.descriptor, item.size_bytes, reserved_bytes
                )
                end = recorded(name, item.size_bytes, crc32c, checksum, attributes)
                write_all(temporary.descriptor, end, item.size_bytes)
                self._own.publish(temporary)
            except BaseException:
                self._own.discard(temporary)
                raise
            finally:
                os.close(temporary.descriptor)
        except (OSError, SourceUnreadableError) as error:
            with contextlib.suppress(OSError):
                room.give_back(begun_bytes)
            self._not_kept(error)

    def close(self) -> None:
        """Let go of all that is held."""
        for tree in self._trees:
            tree.close()
        if self._locks is not None:
            self._locks.close()

    def _copied_out(self, entry: Entry, descriptor: int) -> str:
        size_bytes = entry.record.size_bytes
        if entry.content is not None and size_bytes <= SMALL_BYTES:
            write_all(descriptor, entry.content, 0)
            return crc32c_of_bytes(entry.content)
        if not self._copier.cloned(entry.descriptor, descriptor):
            return copied(entry.descriptor, descriptor, size_bytes)
        os.ftruncate(descriptor, size_bytes)
        # Of the copy, which nobody else has: the entry could change after a look at it.
        return crc32c_of(descriptor, size_bytes)

    def _copied_in(self, source: int, target: int, size_bytes: int, reserved_bytes: int) -> str:
        if size_bytes > SMALL_BYTES and self._copier.cloned(source, target):
            return crc32c_of(target, size_bytes)
        told = os.fstatvfs(self._own.descriptor)
        if told.f_bavail * told.f_frsize < size_bytes + reserved_bytes:
            raise OSError(errno.ENOSPC, "its filesystem has no space to spare")
        return copied(source, target, size_bytes)

    def _drop(self, tree: Tree, name: str, why: str) -> None:
        if not tree.has(name):
            return
        get_logger().warning("init.cache_entry_dropped", path=tree.path, entry=name, reason=why)
        dropped_bytes = tree.drop(name)
        if tree.has(name):
            self._spoiled.add(name)
        if tree is self._own and self._room is not None:
            with contextlib.suppress(OSError):
                self._room.give_back(dropped_bytes)

    def _not_kept(self, error: Exception) -> None:
        why = getattr(error, "strerror", None) or str(error) or "the file can't be read again"
        if not isinstance(error, OSError) or error.errno != errno.ENOSPC:
            # Nothing that is likely to pass; a full disk may become less full.
            self._room = None
        self._tell("init.cache_not_filled", why)

    def _tell(self, event: str, why: str) -> None:
        with self._telling:
            if event in self._told:
                return
            self._told.add(event)
        get_logger().warning(event, path=self._own.path, reason=why)


def open_cache(
    setting: CacheSetting, clock: Clock, uid: Callable[[], int] = os.geteuid
) -> NodeCache | None:
    """The cache of that directory, which is made if it isn't there; ``None``, and why is said, if it's of no use."""
    own = uid()
    try:
        _make(setting.path)
        tree, is_writable = _own_tree(setting.path, own)
    except OSError as error:
        trees, is_writable, why = [], False, error.strerror or str(error)
    else:
        trees, why = [tree] if tree else [], "it holds nothing that this user may read"
    if own != 0:
        with contextlib.suppress(OSError):
            trees.append(Tree.opened(setting.path, 0))
    if not trees:
        get_logger().warning(
            "init.cache_not_used",
            path=setting.path,
            reason=why,
            hint=f"give a directory that uid {own} may write to, or take the cache away",
        )
        return None
    return _opened(trees, setting, clock, is_writable=is_writable)


def _opened(
    trees: list[Tree], setting: CacheSetting, clock: Clock, *, is_writable: bool
) -> NodeCache:
    limit_bytes = setting.size_bytes
    if limit_bytes is None:
        told = os.fstatvfs(trees[0].descriptor)
        limit_bytes = int(told.f_blocks * told.f_frsize * DEFAULT_SHARE)
    descriptor = _lock_file(trees[0]) if is_writable else -1
    if descriptor < 0:
        get_logger().info("init.cache_read_only", path=setting.path)
        return NodeCache(trees, None, None, limit_bytes, clock)
    locks = Locks(descriptor, clock)
    room = Room(trees[0], descriptor, locks, limit_bytes)
    return NodeCache(trees, room, locks, limit_bytes, clock)


def _make(path: str) -> None:
    if os.path.isdir(path):
        return
    try:
        os.makedirs(path)
    except FileExistsError:
        if not os.path.isdir(path):
            problem = "it is no directory"
            raise NotADirectoryError(errno.ENOTDIR, problem, path) from None
    else:
        os.chmod(path, SHARED)


def _own_tree(cache: str, uid: int) -> tuple[Tree | None, bool]:
    try:
        os.mkdir(f"{cache.rstrip('/')}/uid-{uid}", 0o755)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    try:
        tree = Tree.opened(cache, uid)
    except FileNotFoundError:
        return None, False
    return tree, os.fstat(tree.descriptor).st_uid == uid


def _lock_file(tree: Tree) -> int:
    """Open for writing; -1 where this can't be written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        descriptor = os.open(LOCK_FILE, flags, 0o600, dir_fd=tree.descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    return -1
