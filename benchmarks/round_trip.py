"""
The round trip: 3,000 odd files of 0 bytes to 1 MiB, and one of 700 MiB, go up by the sidecar and come back by
init. Seconds and peak memory of each, the median of all turns. Over moto's server, or the store that
``LIGHTERMAN_TEST_CEPH_ENDPOINT`` names (moto takes one request at a time: its seconds are its own).
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import trees
from program import Finished, Program
from servers.buckets import S3Bucket, new_bucket_name
from servers.processes import moto_server

MIB = 1024 * 1024
WAYS = ("3,000 files up", "3,000 files down", "700 MiB up", "700 MiB down")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--memory", default="", help="as --memory of the program")
    given = options.parse_args()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(dir=_fast_disk()) as directory, _store(directory) as endpoint:
        work = Path(directory)
        trees.make_tree(work / "files", 3000)
        (work / "large").mkdir()
        trees.make_large(work / "large" / "model.safetensors", 700 * MIB)
        for _ in range(given.turns):
            for way, ended in _turn(work, endpoint, given.memory):
                seconds[way].append(ended.report["seconds"])
                peaks[way].append(ended.peak_rss_bytes / MIB)
    rows = [
        {
            "workload": way,
            "seconds": round(statistics.median(seconds[way]), 2),
            "peak_mib": round(statistics.median(peaks[way])),
            "most_peak_mib": round(max(peaks[way])),
        }
        for way in WAYS
    ]
    print(json.dumps(rows, indent=2))


def _fast_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp


@contextmanager
def _store(directory: str) -> Iterator[str]:
    endpoint = os.environ.get("LIGHTERMAN_TEST_CEPH_ENDPOINT")
    if endpoint:
        yield endpoint
        return
    with moto_server(Path(directory, "server.log")) as endpoint:
        yield endpoint


def _turn(work: Path, endpoint: str, memory: str) -> Iterator[tuple[str, Finished]]:
    for name, tree in (("3,000 files", work / "files"), ("700 MiB", work / "large")):
        bucket = S3Bucket(endpoint, new_bucket_name()).create()
        environ = {
            "AWS_ACCESS_KEY_ID": bucket.access_key_id,
            "AWS_SECRET_ACCESS_KEY": bucket.secret_access_key,
            "AWS_REGION": bucket.region,
            "AWS_ENDPOINT_URL": endpoint,
            "LIGHTERMAN_CONNECTION": f"s3://{bucket.name}",
            "LIGHTERMAN_LOG_LEVEL": "info",
            "LIGHTERMAN_MEMORY": memory,
        }
        program = Program(work, environ, [])
        sidecar = program.start(
            *("sidecar", "--path", tree, "--native", "--grace", "600", "--state", work / "state")
        )
        sidecar.wait_for_event("sidecar.started")
        sidecar.signal(signal.SIGTERM)
        yield f"{name} up", _good(sidecar.finish(600))
        yield f"{name} down", _good(program.start("init", "--to", work / "back").finish(600))
        for gone in ("back", "state"):
            shutil.rmtree(work / gone)


def _good(ended: Finished) -> Finished:
    if ended.code != 0:
        raise SystemExit(f"it ended with {ended.code}:\n{ended.stderr}")
    return ended


if __name__ == "__main__":
    main()
