"""
What a sidecar costs while nothing happens: processor time by /proc counters, in all and outside of the reconcile,
and resident memory, beside a tree of so many files that is in its place already.
"""

import argparse
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

import msgspec
import places
from machine import machine
from outputs_place import Outputs, Volume, eventually
from program import Program, Running
from servers.buckets import S3Bucket, new_bucket_name
from servers.processes import moto_server

MIB: Final = 1 << 20
SAMPLE_SECONDS: Final = 5.0
FILES_OF_A_DIRECTORY: Final = 100
MOST_FILL_SECONDS: Final = 1800
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=100_000)
    options.add_argument("--seconds", type=float, default=330.0)
    options.add_argument("--watch", choices=("auto", "poll"), default="auto")
    options.add_argument("--over", choices=("directory", "s3"), default="directory")
    given = options.parse_args()
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp
    with tempfile.TemporaryDirectory(dir=fast) as directory:
        work = Path(directory)
        with _place(given.over, work) as place:
            row = _measured(work, place, given.files, given.seconds, given.watch)
        row = {
            "over": given.over,
            "watch": given.watch,
            **row,
            "machine": msgspec.structs.asdict(machine({"outputs": work})),
        }
        row["load_after"] = round(os.getloadavg()[0], 1)
    print(json.dumps(row, indent=2))


@contextmanager
def _place(over: str, work: Path) -> Iterator[Volume | S3Bucket]:
    if over == "directory":
        (work / "place").mkdir()
        yield Volume(work / "place")
    else:
        with moto_server(work / "server.log") as endpoint:
            yield S3Bucket(endpoint, new_bucket_name()).create()


def _measured(
    work: Path, place: Volume | S3Bucket, files: int, seconds: float, watch: str
) -> dict[str, object]:
    environ = {
        "LIGHTERMAN_CATALOG": str(places.catalog(place, work)),
        "LIGHTERMAN_LOG_LEVEL": "info",
    }
    outputs = Outputs(Program(work, environ, places.secrets_of(place)), place, work / "outputs")
    for number in range(files):
        path = outputs.path / f"d{number // FILES_OF_A_DIRECTORY}"
        if number % FILES_OF_A_DIRECTORY == 0:
            path.mkdir()
        (path / f"f{number}").write_bytes(b"%d" % number)
    running = _started(outputs, work, watch)
    eventually(lambda: len(place.keys("out/")) == files, MOST_FILL_SECONDS)
    sent_rss_bytes = _rss_bytes(running.pid)
    _end(running)
    # A start on the journal walks as a reconcile does, so that the next one comes in its time: the first
    # walk of all, beside the uploads, is so long that the one after it is put off.
    running = _started(outputs, work, watch)
    row = _idle(running, seconds)
    _end(running)
    shutil.rmtree(outputs.path)
    return {"files": files, "rss_after_sending_mib": round(sent_rss_bytes / MIB, 1), **row}


def _started(outputs: Outputs, work: Path, watch: str) -> Running:
    running: Running = outputs.program.start(
        "sidecar",
        *outputs.flags("--native", "--grace", "600", "--state", work / "state", "--watch", watch),
    )
    running.wait_for_event("sidecar.reconciled", seconds=MOST_FILL_SECONDS)
    return running


def _end(running: Running) -> None:
    running.signal(signal.SIGTERM)
    ended = running.finish(600)
    if ended.code != 0:
        raise SystemExit(f"it ended with {ended.code}:\n{ended.stderr}")


def _idle(running: Running, seconds: float) -> dict[str, object]:
    """Samples of the counters; one during which a reconcile ended, and its neighbours, are the reconcile's."""
    time.sleep(SAMPLE_SECONDS)  # the end of the first walk isn't idleness
    began = time.monotonic()
    samples = [(_cpu_seconds(running.pid), running.count("sidecar.reconciled"))]
    while time.monotonic() - began < seconds:
        time.sleep(SAMPLE_SECONDS)
        samples.append((_cpu_seconds(running.pid), running.count("sidecar.reconciled")))
    spent = [after[0] - before[0] for before, after in itertools.pairwise(samples)]
    walked = [after[1] - before[1] for before, after in itertools.pairwise(samples)]
    outside = [cost for at, cost in enumerate(spent) if not any(walked[max(0, at - 1) : at + 2])]
    minutes = len(outside) * SAMPLE_SECONDS / 60
    return {
        "seconds": round(time.monotonic() - began, 1),
        "reconciles": sum(walked),
        "cpu_seconds": round(sum(spent), 3),
        "cpu_seconds_a_minute_outside_of_reconciles": round(sum(outside) / minutes, 4),
        "rss_mib": round(_rss_bytes(running.pid) / MIB, 1),
    }


def _cpu_seconds(pid: int) -> float:
    """User and system time of all its threads, also of those that ended (proc(5): fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _rss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("the sidecar is gone")


if __name__ == "__main__":
    main()
