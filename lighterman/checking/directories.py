"""A directory of this container: there, writable as this uid, with space, and telling of its changes."""

import contextlib
import errno
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from initializer.keys import STATE_DIRECTORY
from initializer.space import room_at, why_too_little
from lighterman.checking.findings import Findings, State
from lighterman.checking.inotify import check_events, check_watches
from lighterman.checking.probe import NAME
from lighterman.checking.sources import Needed
from lighterman.checking.subjects import Place
from lighterman.connections.model import Connection, HostPath, VolumeClaim
from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    CredentialsError,
    LightermanError,
)
from lighterman.text import human_bytes

_PROBE_BYTES: Final = 4096
"""One block: a filesystem that is full refuses it."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MOUNTS: Final = "/proc/self/mountinfo"


def check_mount(
    connection: Connection, schema: VolumeClaim | HostPath, findings: Findings, *, writes: bool
) -> bool:
    """A connection's volume: mounted, readable, and writable where outputs go. False if it isn't there."""
    path, name = schema.mount_path, connection.name
    if not os.path.isdir(path):
        findings.failed(
            name,
            "mounted",
            BucketMissingError(
                f"{path} is not a directory that is there",
                hint="mount the volume there, or correct the connection's mountPath",
                connection=name,
            ),
        )
        return False
    is_named = connection.origin == "uri"  # a directory that was named by its path is no slip
    _tell_mount(name, path, findings, unmounted=State.NOTE if is_named else State.WARNING)
    if writes and schema.read_only:
        error = CannotWriteError(
            f"outputs go to {path}, and the connection is readOnly",
            hint="take readOnly out of the connection, or send outputs to another one",
            connection=name,
        )
        findings.failed(name, "writable", error)
    elif writes:
        _check_writable(name, path, findings)
        _check_space(name, path, None, findings)
    elif not schema.read_only and _is_read_only(path):
        said = f"{path} is mounted read-only, which the connection doesn't say"
        hint = "set readOnly: true, or mount it writable where outputs go to it"
        findings.tell(name, "writable", State.NOTE, said, hint)
    return True


def check_place(place: Place, needed: Needed | None, findings: Findings) -> None:
    """A directory that init writes to, or that a job's outputs are in."""
    path = place.path
    if os.path.isdir(path):
        is_writable = _check_writable(path, path, findings)
        if is_writable:
            _check_space(path, path, needed, findings)
        if place.is_outputs and _check_readable(path, findings) and is_writable:
            check_events(path, findings)
            check_watches(path, findings)
        return
    parent = existing_parent(path)
    if not os.path.isdir(parent):
        error = CannotWriteError(
            f"{parent} is no directory", hint="name a directory, or move what stands there"
        )
        findings.failed(path, "writable", error)
        return
    findings.tell(path, "writable", State.NOTE, f"not there yet: it would be made in {parent}")
    if _check_writable(path, parent, findings):
        _check_space(path, parent, needed, findings)


def existing_parent(path: str) -> str:
    """What is there itself, or the nearest above it that is; it may be no directory."""
    while not os.path.lexists(path) and path != "/":
        path = os.path.dirname(path)
    return path


def _check_readable(path: str, findings: Findings) -> bool:
    """Whether the outputs could be listed; what is in them already and can't be read is a warning."""
    try:
        with os.scandir(path):
            pass
    except OSError as error:
        why = os.strerror(error.errno or 0)
        findings.failed(
            path,
            "readable",
            CannotWriteError(
                f"can't read {_described(path)} as {_whoami()}: {why}", hint=_let_in(path)
            ),
        )
        return False
    closed = _unreadable(path)
    if (first := next(closed, None)) is not None:
        others = sum(1 for _ in closed)
        more = f" and {others} more" if others else ""
        said = f"can't be read as {_whoami()}: {first}{more}"
        hint = f"what a drain can't read fails it (73): {_let_in(first)}"
        findings.tell(path, "readable", State.WARNING, said, hint)
    else:
        findings.tell(path, "readable", State.OK, f"as {_whoami()}")
    return True


def _unreadable(path: str) -> Iterator[str]:
    """Files and directories below that this uid may not read. Lighterman's own aren't sent."""
    for directory, names, files in os.walk(path):
        if directory == path and STATE_DIRECTORY in names:
            names.remove(STATE_DIRECTORY)
        for needs, here in ((os.R_OK | os.X_OK, names), (os.R_OK, files)):
            for name in here:
                whole = os.path.join(directory, name)
                if not os.access(whole, needs) and _is_sent(whole):
                    yield whole


def _is_sent(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # gone since
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _let_in(path: str) -> str:
    owner = os.lstat(path).st_uid
    return f"run as uid {owner} (runAsUser), or let this one in: securityContext.fsGroup"


def _check_writable(subject: str, path: str, findings: Findings) -> bool:
    try:
        with _probe_file(path) as descriptor:
            os.write(descriptor, b"\0" * _PROBE_BYTES)
            os.fsync(descriptor)
    except OSError as error:
        findings.failed(subject, "writable", _not_writable(path, error))
        return False
    findings.tell(subject, "writable", State.OK, f"as {_whoami()}, in {_described(path)}")
    return True


@contextlib.contextmanager
def _probe_file(directory: str) -> Iterator[int]:
    path = os.path.join(directory, f"{NAME}{secrets.token_hex(8)}.tmp")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        os.unlink(path)


def _not_writable(path: str, error: OSError) -> LightermanError:
    why = os.strerror(error.errno or 0)
    message = f"can't write in {_described(path)} as {_whoami()}: {why}"
    if _is_read_only(path):
        return CannotWriteError(
            message, hint="it is mounted read-only: take readOnly out of the mount"
        )
    if isinstance(error, PermissionError):
        return CannotWriteError(message, hint=_let_in(path))
    if error.errno in _FULL:
        return CannotWriteError(message, hint="make room, or give the volume a larger size")
    return CannotWriteError(message, hint="look at the mount, or name a directory of a volume")


def _check_space(subject: str, path: str, needed: Needed | None, findings: Findings) -> None:
    room = room_at(path)
    free_bytes = room.free_bytes
    if room.memory_bytes is not None:
        free_bytes = min(free_bytes, room.memory_bytes)
    if needed is None:
        if room.free_files == 0 or free_bytes < _PROBE_BYTES:
            findings.failed(subject, "space", _full(path, "nothing is left"))
        else:
            findings.tell(subject, "space", State.OK, f"{human_bytes(free_bytes)} are free")
        return
    reason = why_too_little(needed.need, room)
    at_least = "at least " if needed.is_at_least else ""
    if reason:
        findings.failed(subject, "space", _full(path, at_least + reason))
        return
    said = f"{at_least}{human_bytes(needed.need.size_bytes)} to come, {human_bytes(free_bytes)} are free"
    findings.tell(subject, "space", State.OK, said)


def _full(path: str, reason: str) -> CannotWriteError:
    return CannotWriteError(
        f"no space in {path}: {reason}", hint="give the volume a larger size, or fetch less"
    )


class _Mount(NamedTuple):
    point: str
    filesystem: str


def _tell_mount(name: str, path: str, findings: Findings, *, unmounted: State) -> None:
    try:
        with os.scandir(path) as entries:
            next(entries, None)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        unreadable = CredentialsError(
            f"can't read {_described(path)} as {_whoami()}: {why}",
            hint=_let_in(path),
            connection=name,
        )
        findings.failed(name, "mounted", unreadable)
        return
    mount = _mount_of(path)
    if mount is None or mount.point == "/":
        said = f"{path} is a directory of the container itself: nothing is mounted there"
        hint = "add a volumeMount; what is written there goes with the container"
        findings.tell(name, "mounted", unmounted, said, hint)
    else:
        findings.tell(name, "mounted", State.OK, f"{mount.filesystem} at {mount.point}")


def _mount_of(path: str) -> _Mount | None:
    """What is mounted at the directory, or nearest above it."""
    real = os.path.realpath(path)
    found: _Mount | None = None
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                fields, _, rest = line.partition(" - ")
                point = fields.split(" ")[4].encode().decode("unicode_escape")
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and (found is None or len(point) >= len(found.point)):
                    found = _Mount(point, rest.split(" ", 1)[0])
    except OSError:
        return None
    return found


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _described(path: str) -> str:
    status = os.stat(path)
    mode = stat.filemode(status.st_mode)
    return f"{path} (owner {status.st_uid}:{status.st_gid}, {mode})"


def _whoami() -> str:
    uid = os.geteuid()
    name = ""
    with contextlib.suppress(KeyError):  # an arbitrary uid has no entry
        name = f" ({pwd.getpwuid(uid).pw_name})"
    groups = " ".join(str(group) for group in sorted({os.getegid(), *os.getgroups()}))
    return f"uid {uid}{name}, groups {groups}"
