"""
From the close of a small file to its visibility in the bucket, on a quiet system: median and 99th percentile,
beside the settle time, which is part of both. The directory as a place tells its changes by events; a bucket is asked
again and again, so that the time of a request is in its figures.
"""

import argparse
import json
import math
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))

import msgspec
import places
from inotify_simple import INotify, flags
from machine import machine
from outputs_place import Outputs, Volume
from program import Program
from servers.buckets import S3Bucket, new_bucket_name
from servers.processes import moto_server

MOST_WAIT_SECONDS: Final = 60.0
ASK_SECONDS: Final = 0.002


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=200)
    options.add_argument("--settle", type=float, default=1.0)
    options.add_argument("--over", choices=("directory", "s3"), default="directory")
    given = options.parse_args()
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp
    with tempfile.TemporaryDirectory(dir=fast) as directory, ExitStack() as stack:
        work = Path(directory)
        told = msgspec.structs.asdict(machine({"outputs": work}))
        if given.over == "directory":
            (work / "place" / "out").mkdir(parents=True)
            place: Volume | S3Bucket = Volume(work / "place")
            wait = _wait_for_file(work / "place" / "out")
        else:
            endpoint = stack.enter_context(moto_server(work / "server.log"))
            place = S3Bucket(endpoint, new_bucket_name()).create()
            wait = _wait_for_object(place)
        seconds = _measured(work, place, wait, given.files, given.settle)
    beyond = sorted(each - given.settle for each in seconds)
    row = {
        "over": given.over,
        "files": given.files,
        "settle_seconds": given.settle,
        "median_beyond_settle_ms": round(1000 * statistics.median(beyond), 1),
        "p99_beyond_settle_ms": round(1000 * beyond[math.ceil(0.99 * len(beyond)) - 1], 1),
        "most_beyond_settle_ms": round(1000 * beyond[-1], 1),
        "machine": told,
        "load_after": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(row, indent=2))


def _measured(
    work: Path,
    place: Volume | S3Bucket,
    wait: Callable[[str], None],
    files: int,
    settle_seconds: float,
) -> list[float]:
    environ = {
        "LIGHTERMAN_CATALOG": str(places.catalog(place, work)),
        "LIGHTERMAN_LOG_LEVEL": "info",
    }
    outputs = Outputs(Program(work, environ, places.secrets_of(place)), place, work / "outputs")
    running = outputs.sidecar(
        *("--native", "--grace", "600", "--state", work / "state", "--settle", str(settle_seconds))
    )
    found = []
    for number in range(files):
        time.sleep(
            random.uniform(0.1, 0.4)
        )  # no beat that the sidecar's batches could fall in with
        (outputs.path / f"f{number}").write_bytes(b"x" * 1024)
        closed_at = time.monotonic()
        wait(f"f{number}")
        found.append(time.monotonic() - closed_at)
    running.signal(signal.SIGTERM)
    ended = running.finish(120)
    if ended.code != 0:
        raise SystemExit(f"it ended with {ended.code}:\n{ended.stderr}")
    return found


def _wait_for_file(directory: Path) -> Callable[[str], None]:
    watch = INotify()
    watch.add_watch(directory, flags.MOVED_TO | flags.CREATE | flags.CLOSE_WRITE)

    def wait(name: str) -> None:
        deadline = time.monotonic() + MOST_WAIT_SECONDS
        while time.monotonic() < deadline:
            if any(event.name == name for event in watch.read(timeout=1000)):
                return
        raise SystemExit(f"{name} never came")

    return wait


def _wait_for_object(bucket: S3Bucket) -> Callable[[str], None]:
    client = bucket.client()

    def wait(name: str) -> None:
        deadline = time.monotonic() + MOST_WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                client.head_object(Bucket=bucket.name, Key=f"out/{name}")
            except client.exceptions.ClientError:
                time.sleep(ASK_SECONDS)
            else:
                return
        raise SystemExit(f"{name} never came")

    return wait


if __name__ == "__main__":
    main()
