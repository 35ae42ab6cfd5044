"""
Logins in mounted files: one file per key, a JSON file of any name that holds the keys, or one that is the
login itself.

Kubernetes replaces a secret's files all at once, by renaming the symlink ``..data`` through which they are
reached; so a look that finds all files the same before and after reading saw one state of them.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from lighterman.connections.model import Mount
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError, CredentialsError, TransientError

LARGEST_BYTES: Final = 1024 * 1024
"""A Kubernetes secret or config map holds no more than that."""
_READS: Final = 5
"""So often in a row the files may change under the reading before it gives up for now."""

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int, int], ...]
"""Path, device, inode, mtime and size of each file, through its symlinks."""


class Found(NamedTuple):
    """One key's value and the file that holds it."""

    value: str
    path: str


IsLogin: TypeAlias = Callable[[Mapping[str, object]], bool]
"""Whether a JSON object is a login itself (a service account's key), rather than holding the keys of one."""


def fingerprint(mounts: Collection[Mount]) -> Fingerprint:
    """What tells that any of the mounted files changed; cheap."""
    prints = []
    for path in _files(mounts):
        try:
            stat = os.stat(path)
        except OSError:  # gone since: that shows by its absence
            continue
        prints.append((path, stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size))
    return tuple(prints)


def read_mounts(
    mounts: Collection[Mount], names: Collection[str], is_login: IsLogin | None = None
) -> dict[str, Found]:
    """
    The values of those ``names`` (upper case) that the mounted files hold, all from one state of the
    files. A file that is a login itself, by ``is_login``, stands under its own path. A key that is said
    twice, differently, or a file that can't be read is an error that names the files.
    """
    for _ in range(_READS):
        before = fingerprint(mounts)
        try:
            found = _read(mounts, names, is_login)
        except FileNotFoundError:  # replaced between listing and opening
            continue
        if fingerprint(mounts) == before:
            return found
    where = " and ".join(mount.mount_path or "" for mount in mounts)
    raise TransientError(f"the files in {where} keep changing while they are read")


def _read(
    mounts: Collection[Mount], names: Collection[str], is_login: IsLogin | None
) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for path in _files(mounts):
        for name, value in _keys_in(path, names, is_login):
            other = found.setdefault(name, Found(value, path))
            if other.value != value:
                raise ConfigurationError(
                    f"{name} is said twice, differently: in {other.path} and in {path}",
                    hint="keep one of them",
                )
    return found


def _files(mounts: Collection[Mount]) -> Iterator[str]:
    for mount in mounts:
        root = mount.mount_path or ""
        if os.path.isfile(root):  # a subPath mount
            yield root
            continue
        try:
            names = sorted(os.listdir(root))
        except (FileNotFoundError, NotADirectoryError):  # not mounted here
            continue
        except OSError as error:
            raise _unreadable(root, error) from error
        for name in names:
            path = os.path.join(root, name)
            # `..data` and `..2026_11_21` are Kubernetes' own, behind the names.
            if name.startswith("..") or not os.path.isfile(path):
                continue
            if mount.items is None or name in mount.items:
                yield path


def _keys_in(
    path: str, names: Collection[str], is_login: IsLogin | None
) -> Iterator[tuple[str, str]]:
    name = os.path.basename(path).upper()
    content = _content(path)
    if name in names:
        try:
            value = content.decode()
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} isn't text", hint="write the key as UTF-8") from None
        if len(content) > LARGEST_BYTES or "\0" in value:
            raise ConfigurationError(f"{path} is no file of a key", hint="one key and its newline")
        yield name, value.rstrip("\r\n")
    elif content.lstrip()[:1] == b"{" and len(content) <= LARGEST_BYTES:
        yield from _keys_in_json(content.decode(errors="replace"), path, names, is_login)


def _keys_in_json(
    text: str, path: str, names: Collection[str], is_login: IsLogin | None
) -> Iterator[tuple[str, str]]:
    try:
        document = parse_document(text, path, only_json=True)
    except ConfigurationError as error:
        if is_login is None:
            raise
        hint = "mount the key file whole, as it was downloaded"
        raise CredentialsError(error.message, hint=hint) from error
    if not isinstance(document, dict):
        return
    if is_login is not None and is_login(document):
        yield path, text
        return
    yield from keys_in(document, path, names)


def keys_in(
    document: Mapping[str, object], where: str, names: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Those of ``names`` that a JSON object holds. ``ConfigurationError`` for a value that is no text."""
    for key, value in document.items():
        if key.upper() not in names or value is None:
            continue
        if not isinstance(value, (str, int)):
            raise ConfigurationError(f"{where}: {key} is no text", hint="write it in quotes")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield key.upper(), text.rstrip("\r\n")


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> CredentialsError:
    return CredentialsError(
        f"{path} can't be read: {error.strerror}",
        hint="let this container's user read it (the secret's defaultMode, the pod's fsGroup)",
    )
