"""
The mark of a sidecar whose journal is open and whose watches are set, in its state directory: what a probe
looks for. It names the process that left it, so that one of a killed process, or of another, counts for
nothing.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

from lighterman.errors import CannotWriteError
from sidecar.processes import boot_id, process_of

NAME: Final = "ready"


def leave(state: str) -> None:
    """Leave this process's mark in the state directory, whole or not at all. ``CannotWriteError`` if it can't be."""
    beside = Path(state) / f"{NAME}.{os.getpid()}"
    try:
        beside.write_text(_line(os.getpid()))
        beside.replace(Path(state) / NAME)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise CannotWriteError(
            f"can't note in {state} that the sidecar watches: {error.strerror or error}",
            hint="give a writable directory of its own with --state DIR",
        ) from error


def withdraw(state: str) -> None:
    """Take it away, if it is this process's."""
    with contextlib.suppress(OSError):
        if (Path(state) / NAME).read_text() == _line(os.getpid()):
            (Path(state) / NAME).unlink()


def is_left(state: str) -> bool:
    """Whether the process that left the mark there lives."""
    try:
        line = (Path(state) / NAME).read_text()
        pid = int(line.split()[-2])
    except (OSError, ValueError, IndexError):
        return False
    process = process_of(pid)
    return process is not None and not process.is_dead and line == _line(pid)


def _line(pid: int) -> str:
    """What is only this process's: its kernel's own name, its number, and when it began."""
    process = process_of(pid)
    return f"{boot_id()} {pid} {process.started if process else 0}\n"
