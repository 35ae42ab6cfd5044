"""
The round trip: 3,000 odd files of 0 bytes to 1 MiB, and one of 700 MiB, go up by the sidecar and come back by
init. Seconds and peak memory of each, the median of all turns, over each kind of place: a directory, moto's server
(or the S3 that ``LIGHTERMAN_TEST_CEPH_ENDPOINT`` names), the tests' GCS server, Azurite. What the emulators take
is their own; memory is ours.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import places
import trees
from program import Finished, Program
from servers.azurite import azurite_server
from servers.buckets import S3Bucket, new_bucket_name
from servers.containers import AzureContainer
from servers.gcs import GcsBucket, gcs_server
from servers.processes import moto_server

NewPlace = Callable[[], Any]
"""Makes an empty place of one kind."""
MIB = 1024 * 1024
WAYS = ("3,000 files up", "3,000 files down", "700 MiB up", "700 MiB down")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--memory", default="", help="as --memory of the program")
    options.add_argument("--over", nargs="+", choices=PLACES, default=list(PLACES))
    given = options.parse_args()
    rows = [row for name in given.over for row in _measured(name, given.turns, given.memory)]
    print(json.dumps(rows, indent=2))


def _measured(name: str, turns: int, memory: str) -> list[dict[str, object]]:
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    with (
        tempfile.TemporaryDirectory(dir=_fast_disk()) as directory,
        PLACES[name](Path(directory)) as new_place,
    ):
        work = Path(directory)
        trees.make_tree(work / "files", 3000, names=trees.NAMES_FOR_AZURE)
        (work / "large").mkdir()
        trees.make_large(work / "large" / "model.safetensors", 700 * MIB)
        for _ in range(turns):
            for way, ended in _turn(work, new_place, memory):
                seconds[way].append(ended.report["seconds"])
                peaks[way].append(ended.peak_rss_bytes / MIB)
    return [
        {
            "over": name,
            "workload": way,
            "seconds": round(statistics.median(seconds[way]), 2),
            "peak_mib": round(statistics.median(peaks[way])),
            "most_peak_mib": round(max(peaks[way])),
        }
        for way in WAYS
    ]


def _fast_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp


@contextmanager
def _directory(work: Path) -> Iterator[NewPlace]:
    def new_place() -> SimpleNamespace:
        root = work / new_bucket_name()
        root.mkdir()
        return SimpleNamespace(root=root)

    yield new_place


@contextmanager
def _s3(work: Path) -> Iterator[NewPlace]:
    with ExitStack() as stack:
        endpoint = os.environ.get("LIGHTERMAN_TEST_CEPH_ENDPOINT")
        endpoint = endpoint or stack.enter_context(moto_server(work / "server.log"))
        yield lambda: S3Bucket(endpoint, new_bucket_name()).create()


@contextmanager
def _gcs(work: Path) -> Iterator[NewPlace]:
    with gcs_server(work / "server.log") as server:
        yield lambda: GcsBucket(server, new_bucket_name()).create()


@contextmanager
def _azurite(work: Path) -> Iterator[NewPlace]:
    with azurite_server(work / "azurite") as server:
        yield lambda: AzureContainer(server, new_bucket_name()).create()


PLACES = {"directory": _directory, "s3": _s3, "gcs": _gcs, "azure": _azurite}


def _turn(work: Path, new_place: NewPlace, memory: str) -> Iterator[tuple[str, Finished]]:
    for name, tree in (("3,000 files", work / "files"), ("700 MiB", work / "large")):
        place = new_place()
        turn = work / "turn"
        turn.mkdir()
        environ = {
            "LIGHTERMAN_CATALOG": str(places.catalog(place, turn)),
            "LIGHTERMAN_CONNECTION": "bucket",
            "LIGHTERMAN_LOG_LEVEL": "info",
            "LIGHTERMAN_MEMORY": memory,
        }
        program = Program(turn, environ, places.secrets_of(place))
        sidecar = program.start(
            *("sidecar", "--path", tree, "--native", "--grace", "600", "--state", turn / "state")
        )
        sidecar.wait_for_event("sidecar.started")
        sidecar.signal(signal.SIGTERM)
        yield f"{name} up", _good(sidecar.finish(600))
        yield f"{name} down", _good(program.start("init", "--to", turn / "back").finish(600))
        shutil.rmtree(turn)
        if root := getattr(place, "root", None):
            shutil.rmtree(root)


def _good(ended: Finished) -> Finished:
    if ended.code != 0:
        raise SystemExit(f"it ended with {ended.code}:\n{ended.stderr}")
    return ended


if __name__ == "__main__":
    main()
