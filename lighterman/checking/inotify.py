"""Whether the kernel will tell the sidecar of changes: events that arrive, and watches enough."""

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

from lighterman.checking.findings import Findings, State

LIMITS: Final = Path("/proc/sys/fs/inotify")
_SHARE: Final = 0.5
"""Of its uid's watches, which every pod of that uid on the node shares; more is worth a word."""
_ELSE: Final = "until then changes are found by looking, every few seconds or rarer"


def check_events(path: str, findings: Findings) -> None:
    """Make a file there, and wait for its event."""
    from sidecar.watch import events_arrive

    if lack := _lack(path):
        findings.tell(path, "events", State.WARNING, lack.said, lack.hint)
        return
    arrived = events_arrive(path)
    if arrived is None:
        said = "no file could be made or watched there"
        findings.tell(path, "events", State.SKIPPED, said)
    elif arrived:
        findings.tell(path, "events", State.OK, "inotify tells of a new file")
    else:
        said = "inotify doesn't tell of a new file: this filesystem has no events"
        hint = f"use a local volume (emptyDir, hostPath): {_ELSE}"
        findings.tell(path, "events", State.WARNING, said, hint)


class _Lack(NamedTuple):
    said: str
    hint: str


def _lack(path: str) -> _Lack | None:
    """What stands against a watch of the directory."""
    from inotify_simple import INotify, flags

    try:
        with INotify() as inotify:
            inotify.add_watch(path, flags.CREATE)
    except OSError as error:
        limits = {
            errno.EMFILE: ("instance", "max_user_instances"),
            errno.ENOSPC: ("watch", "max_user_watches"),
        }
        if error.errno not in limits:
            said = f"inotify can't watch it: {os.strerror(error.errno or 0)}"
            return _Lack(said, _ELSE)
        thing, name = limits[error.errno]
        said = f"this uid has no inotify {thing} left ({name}: {_limit(name)})"
        return _Lack(said, f"raise fs.inotify.{name} on the node: {_ELSE}")
    return None


def check_watches(path: str, findings: Findings) -> None:
    """Compare the directories below with the watches that this uid may have."""
    limit = _limit("max_user_watches")
    if limit is None:
        findings.tell(path, "watches", State.SKIPPED, "the kernel doesn't tell its limit")
        return
    count = _directories(path, most=limit)
    said = f"{count} directories, {limit} watches for this uid on the node"
    if count > _SHARE * limit:
        hint = "raise fs.inotify.max_user_watches on the node, or make fewer directories"
        findings.tell(path, "watches", State.WARNING, said, hint)
    else:
        findings.tell(path, "watches", State.OK, said)


def _directories(path: str, *, most: int) -> int:
    """How many directories there are, with ``path`` itself; counting ends at ``most``."""
    count = 0
    for _ in os.walk(path):
        count += 1
        if count >= most:
            break
    return count


def _limit(name: str) -> int | None:
    try:
        return int((LIMITS / name).read_text())
    except (OSError, ValueError):
        return None
