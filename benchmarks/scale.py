"""
A large tree under the sidecar: a first ``sync`` of it, the start on the journal that it left, what idling and one
change cost then, and the end. The place is a directory on the same tmpfs, so that what is measured is ours. Each
size of tree is one run; what a change costs should not depend on it.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import places
from program import Program, Running

MIB: Final = 1024 * 1024
FILES_A_DIRECTORY: Final = 1000
CHANGES: Final = 50
MOST_SECONDS: Final = 3600
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_LOOK_SECONDS: Final = 0.005
_REST_SECONDS: Final = 5.0
"""What the start set going has ended, and what is counted as idling is."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, nargs="+", default=[10_000, 1_000_000])
    options.add_argument("--idle-seconds", type=float, default=60.0)
    given = options.parse_args()
    told = []
    for count in given.files:
        with tempfile.TemporaryDirectory(dir=_fast_disk()) as directory:
            told.append(_measured(Path(directory), count, given.idle_seconds))
    print(json.dumps({"load_before": os.getloadavg()[0], "trees": told}, indent=2))


def _fast_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp


def _measured(work: Path, count: int, idle_seconds: float) -> dict[str, Any]:
    tree, place = work / "outputs", work / "place"
    place.mkdir()
    _make_tree(tree, count)
    program = _program(work, place)
    common = ("--path", tree, "--state", work / "state")
    first = program.start("sync", *common).finish(MOST_SECONDS)
    _require_done(first.code, first.stderr)
    began = time.perf_counter()
    sidecar = program.start("sidecar", *common, "--native", "--grace", "600")
    walked = sidecar.wait_for_event("sidecar.reconciled", seconds=MOST_SECONDS)
    start_seconds = time.perf_counter() - began
    time.sleep(_REST_SECONDS)
    started = _status(sidecar)
    cpu_before = _cpu_seconds(sidecar)
    time.sleep(idle_seconds)
    idle_cpu = _cpu_seconds(sidecar) - cpu_before
    latencies, change_cpu = _changed(sidecar, tree, place)
    ended = time.perf_counter()
    sidecar.signal(signal.SIGTERM)
    last = sidecar.finish(MOST_SECONDS)
    _require_done(last.code, last.stderr)
    return {
        "files": count,
        "first_sync_seconds": round(first.report["seconds"], 1),
        "first_sync_peak_mib": round(first.peak_rss_bytes / MIB),
        "start_seconds": round(start_seconds, 2),
        "walk_seconds": walked["seconds"],
        "rss_mib_after_start": round(started["VmRSS"] / 1024),
        "peak_mib_after_start": round(started["VmHWM"] / 1024),
        "idle_cpu_seconds_a_minute": round(60 * idle_cpu / idle_seconds, 3),
        "change_seconds_median": round(statistics.median(latencies), 3),
        "change_seconds_most": round(max(latencies), 3),
        "change_cpu_milliseconds": round(1000 * change_cpu / CHANGES, 2),
        "end_seconds": round(time.perf_counter() - ended, 2),
        "peak_mib": round(last.peak_rss_bytes / MIB),
        "journal_mib": round(sum(file.stat().st_size for file in (work / "state").iterdir()) / MIB),
    }


def _make_tree(tree: Path, count: int) -> None:
    for number in range(count):
        if number % FILES_A_DIRECTORY == 0:
            directory = tree / f"part-{number // FILES_A_DIRECTORY:05}"
            directory.mkdir(parents=True)
        os.close(os.open(directory / f"sample-{number:08}.bin", os.O_CREAT | os.O_WRONLY, 0o644))


def _program(work: Path, place: Path) -> Program:
    environ = {
        "LIGHTERMAN_CATALOG": str(places.catalog(SimpleNamespace(root=place), work)),
        "LIGHTERMAN_CONNECTION": "bucket",
        "LIGHTERMAN_LOG_LEVEL": "info",
    }
    return Program(work, environ)


def _changed(sidecar: Running, tree: Path, place: Path) -> tuple[list[float], float]:
    """How long each of some changes took to be in the place, and the process's time for all."""
    latencies = []
    cpu_before = _cpu_seconds(sidecar)
    for number in range(CHANGES):
        file = tree / "part-00000" / f"sample-{number:08}.bin"
        copied = place / file.relative_to(tree)
        file.write_bytes(b"changed")
        closed = time.perf_counter()
        while copied.stat().st_size == 0:
            time.sleep(_LOOK_SECONDS)
            if time.perf_counter() - closed > MOST_SECONDS:
                raise SystemExit(f"{file} never came to its place")
        latencies.append(time.perf_counter() - closed)
    return latencies, _cpu_seconds(sidecar) - cpu_before


def _status(sidecar: Running) -> dict[str, int]:
    """The kernel's figures of its memory, in KiB."""
    lines = Path(f"/proc/{sidecar.pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: int(value.split()[0]) for name, value in pairs if value.endswith(" kB")}


def _cpu_seconds(sidecar: Running) -> float:
    fields = Path(f"/proc/{sidecar.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _require_done(code: int, said: str) -> None:
    if code:
        raise SystemExit(f"it ended with {code}:\n{said[-2000:]}")


if __name__ == "__main__":
    main()
