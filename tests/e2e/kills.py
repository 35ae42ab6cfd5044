"""What tests that kill need: files large enough to be caught at, and what a dead process wrote."""

import contextlib
import os
from pathlib import Path

from outputs_place import eventually

MIB = 1024 * 1024


def kills(usual):
    """How often a test kills: as usual, or as often as ``make test-killed`` wants."""
    return int(os.environ.get("LIGHTERMAN_TEST_KILLS", usual))


def make_sparse(path, size_bytes):
    """A large file whose blocks all differ, and take next to no space."""
    with path.open("wb") as file:
        for start in range(0, size_bytes, MIB):
            file.seek(start)
            file.write(f"block at {start}".encode())
        file.truncate(size_bytes)


def allocated_bytes(paths):
    """How much there is of files, any of which may vanish meanwhile."""
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def written_bytes(running):
    """What a process wrote in all, as the kernel counts it, once it is dead and before it is waited for."""
    how = os.WEXITED | os.WNOWAIT | os.WNOHANG
    eventually(lambda: os.waitid(os.P_PID, running.pid, how), seconds=300)
    lines = Path(f"/proc/{running.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])
