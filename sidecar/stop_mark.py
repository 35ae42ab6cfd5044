"""
The mark that ``mark-stop`` leaves in the state directory: when the pod's stop began, by a clock that all
processes of one machine share. A native sidecar is told long after that, and killed at the same time.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from sidecar.processes import boot_id, process_of

NAME: Final = "stop"
LEAST_SECONDS: Final = 2.0
"""
What the kubelet leaves to a container whose turn comes when the grace is used up:
``minimumGracePeriodInSeconds`` of its kuberuntime_container.go.
"""
LATEST_SECONDS: Final = 30.0
"""
So long after the end of the grace a sidecar may still be told: several of them take their turns. A mark
that is older was made by somebody's hand, and no kubelet counts from it.
"""
MOST_MARKS: Final = 16


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a stop began."""

    boot_id: str
    """Of the kernel that the clock belongs to."""
    seconds: float
    """``CLOCK_BOOTTIME``."""


class Run(NamedTuple):
    """One process, as far as a mark is of its time."""

    boot_id: str
    began: float
    """``CLOCK_BOOTTIME`` of its start."""


def seconds_left(grace_seconds: float, marks: Sequence[Mark], run: Run, now: float) -> float:
    """
    What is left of the grace at ``now`` (``CLOCK_BOOTTIME``), when the process is told to stop: all of it
    where no mark of this very run says that it began before; never less than the kubelet's least. Of
    several marks the first counts: a hook may be run again.
    """
    ages = [now - mark.seconds for mark in marks if _is_of(mark, run, now)]
    oldest = max((age for age in ages if age <= grace_seconds + LATEST_SECONDS), default=0.0)
    return min(grace_seconds, max(LEAST_SECONDS, grace_seconds - oldest))


def _is_of(mark: Mark, run: Run, now: float) -> bool:
    return mark.boot_id == run.boot_id and run.began <= mark.seconds <= now


def leave(state: str) -> None:
    """Leave a mark of this moment in the state directory, which is made. ``OSError`` if it can't be."""
    mark = Mark(boot_id(), now())
    Path(state).mkdir(mode=0o700, exist_ok=True)
    beside = Path(state) / f"{NAME}.{os.getpid()}"
    try:
        beside.write_bytes(msgspec.json.encode([*found(state), mark][-MOST_MARKS:]))
        beside.replace(Path(state) / NAME)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def found(state: str) -> list[Mark]:
    """The marks in the state directory, as far as they can be read."""
    try:
        return msgspec.json.decode((Path(state) / NAME).read_bytes(), type=list[Mark])
    except (OSError, msgspec.MsgspecError):
        return []


def grace_left(state: str, grace_seconds: float) -> float:
    """What this process, told to stop, has of its grace."""
    return seconds_left(grace_seconds, found(state), this_run(), now())


def now() -> float:
    """``CLOCK_BOOTTIME``, which every process of a machine sees alike and no restart of a container resets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def this_run() -> Run:
    """The process that asks. Where ``/proc`` doesn't tell its start, every mark of this boot is of its time."""
    process = process_of(os.getpid())
    began = process.started / os.sysconf("SC_CLK_TCK") if process else 0.0
    return Run(boot_id(), began)
