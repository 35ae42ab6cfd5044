"""Processes as proc(5) tells of them: their numbers, which are given again, and what tells them apart."""

from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """One process, whatever becomes of its number."""

    pid: int
    started: int
    """In clock ticks since the boot: a number that was given again has another."""
    parent: int
    is_dead: bool
    """Ended, and not yet waited for by its parent."""


def process_of(pid: int) -> Process | None:
    """What is told of it; ``None`` if there is none, or none that may be seen."""
    try:
        # The name, which may hold blanks and brackets, is between the first and the last bracket.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return Process(pid, int(fields[19]), int(fields[1]), fields[0] in (b"Z", b"X"))
    except (OSError, ValueError, IndexError):
        return None


def boot_id() -> str:
    """The running kernel's own name; ``""`` where it has none (a sandbox that isn't Linux)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
