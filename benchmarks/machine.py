"""What a result must tell about where it was measured."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from figures import Machine

GIB = 1 << 30


def machine(places: Mapping[str, Path]) -> Machine:
    """The machine that runs it, and the file system below each place."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        processor=processor(Path("/proc/cpuinfo").read_text()),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB),
        kernel=platform.release(),
        python=platform.python_version(),
        places={
            name: file_system(Path("/proc/self/mountinfo").read_text(), path.resolve())
            for name, path in places.items()
        },
        load_before=round(os.getloadavg()[0], 1),
    )


def processor(cpuinfo: str) -> str:
    """The model's name in ``/proc/cpuinfo``; the architecture where it has none (ARM)."""
    for line in cpuinfo.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def file_system(mountinfo: str, path: Path) -> str:
    """The type of the file system that ``path`` is on, by ``/proc/self/mountinfo`` (see proc(5))."""
    found, longest = "unknown", -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4].replace(r"\040", " "))
        # A later mount over the same point hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = after.split()[0], len(point.parts)
    return found
