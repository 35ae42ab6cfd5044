"""
A tree as a listing, in the byte order of its keys, one directory at a time.

A directory stands where its name with ``/`` stands (``a-x`` before ``a/b`` before ``a0``): sorting each
directory's entries that way and walking in depth gives the order of the whole, with memory for the
entries of one directory on each level.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from lighterman.stores.contract import Key, Listed
from lighterman.stores.volume.paths import etag_of, is_hidden
from lighterman.stores.windows import reading_failed

PAGE_KEYS: Final = 1000
"""As many as a page of S3 has."""


class _Entry(NamedTuple):
    order: bytes
    name: str
    status: os.stat_result


def pages(root: str, prefix: str) -> Iterator[list[Listed]]:
    """Every file (and empty directory, as ``dir/``) below ``root`` whose key starts with ``prefix``."""
    directory, _, name_prefix = prefix.rpartition("/")
    parts = directory.split("/") if directory or prefix.startswith("/") else []
    if "\0" in prefix or any(part in {"", ".", ".."} or is_hidden(part) for part in parts):
        return  # no key of a volume begins so
    base = f"{directory}/" if parts else ""
    page: list[Listed] = []
    for listed in _walk(root, base, name_prefix):
        page.append(listed)
        if len(page) == PAGE_KEYS:
            yield page
            page = []
    if page:
        yield page


def _walk(root: str, base: str, name_prefix: str) -> Iterator[Listed]:
    start = os.path.join(root, base) if base else root
    try:
        above = _identity(os.stat(start))
        inside = _is_inside(start, root)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise reading_failed(error, start) from error
    if not inside:
        return
    entries = _entries(root, base)
    if not entries and base and not name_prefix:
        yield _marker(base, os.stat(start))
        return
    yield from _walk_entries(
        root, base, [e for e in entries if e.name.startswith(name_prefix)], (above,)
    )


def _walk_entries(
    root: str, base: str, entries: list[_Entry], above: tuple[tuple[int, int], ...]
) -> Iterator[Listed]:
    entries.reverse()  # popped from its end, so that what is done is let go of
    while entries:
        entry = entries.pop()
        key = base + entry.name
        if not stat.S_ISDIR(entry.status.st_mode):
            yield Listed(
                Key(key), entry.status.st_size, etag_of(entry.status), entry.status.st_mtime
            )
            continue
        identity = _identity(entry.status)
        if identity in above:
            continue  # a symlink to a directory above: it would never end
        below = _entries(root, f"{key}/")
        if below:
            yield from _walk_entries(root, f"{key}/", below, (*above, identity))
        else:
            yield _marker(f"{key}/", entry.status)


def _entries(root: str, base: str) -> list[_Entry]:
    """What of a directory can be listed, in the order of the keys that it gives."""
    found: list[_Entry] = []
    place = os.path.join(root, base) if base else root
    try:
        with os.scandir(place) as scan:
            for entry in scan:
                if is_hidden(entry.name):
                    continue
                status = _status(entry, root)
                if status is None:
                    continue
                order = os.fsencode(entry.name)
                if stat.S_ISDIR(status.st_mode):
                    order += b"/"
                found.append(_Entry(order, entry.name, status))
    except FileNotFoundError:
        return []  # removed since its parent was read
    except OSError as error:
        raise reading_failed(error, place) from error
    found.sort(key=lambda entry: entry.order)
    return found


def _status(entry: "os.DirEntry[str]", root: str) -> os.stat_result | None:
    """Of a regular file or a directory, also behind a symlink that stays below the root; else ``None``."""
    try:
        status = entry.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return None
        if entry.is_symlink() and not _is_inside(entry.path, root):
            return None
    except FileNotFoundError:
        return None  # a dangling symlink, or removed meanwhile
    except OSError as error:
        if entry.is_symlink():
            return None  # a symlink to itself, or to where nothing may be seen
        raise reading_failed(error, entry.path) from error
    return status


def _is_inside(path: str, root: str) -> bool:
    return (os.path.realpath(path) + "/").startswith(root.rstrip("/") + "/")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _marker(key: str, status: os.stat_result) -> Listed:
    return Listed(Key(key), 0, etag_of(status), status.st_mtime)
