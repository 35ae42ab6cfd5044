"""
Listing and planning of very many keys, from a store that makes its pages on the fly: seconds and peak memory of a
process of its own for each number of keys, and what its plan takes of the disk. Nothing is fetched.

``new`` plans into an empty destination; ``unsorted`` the same from a store that doesn't sort; ``shard`` one of
eight shards; ``kept`` plans a second run, where every file is there and noted (each key stands for one of 1,000
files, which are looked at again and again).
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from initializer.disk import DestinationsDisk
from initializer.entries import Entry
from initializer.noted import Noted
from initializer.plan import Found, OnDisk, Placed
from initializer.shards import Shard
from initializer.source import Source
from initializer.space import Needs
from initializer.state import State
from initializer.survey import Declared, Survey
from initializer.verify import Checksums
from lighterman.clock import SystemClock
from lighterman.stores.contract import Checksum, ETag, Key, Listed, Store
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

KEYS: Final = (1_000_000, 5_000_000)
WAYS: Final = ("new", "unsorted", "shard", "kept")
FILES_PER_DIRECTORY: Final = 1000


class MadeUp:
    """As much of a store as a plan asks for. Every ETag is another, as real ones are."""

    connection = "made-up"
    prefix = ""
    lists_after = False

    def __init__(self, keys: int, *, is_sorted: bool) -> None:
        self._directories = -(-keys // FILES_PER_DIRECTORY)
        self._is_sorted = is_sorted

    def pages(self, prefix: str) -> Iterator[list[Listed]]:  # noqa: ARG002  # there is but one
        for number in range(self._directories):
            directory = number if self._is_sorted else self._directories - 1 - number
            yield [_listed(directory, file) for file in range(FILES_PER_DIRECTORY)]


def _listed(directory: int, file: int) -> Listed:
    etag = hashlib.md5(b"%d/%d" % (directory, file), usedforsecurity=False).hexdigest()
    return Listed(
        Key(f"shard-{directory:05}/image-{file:06}.jpeg"),
        1000 + file,
        ETag(etag),
        1.7e9 + file,
        checksum=Checksum(f"md5:{etag}"),
    )


class AllThere(DestinationsDisk):
    """A destination that has everything: each path is asked for as another one of the same directory."""

    def directory(self, root: int, path: str) -> Found:  # noqa: ARG002  # any
        return super().directory(root, f"{self._roots[root]}/there/")

    def file(self, path: str) -> OnDisk | None:
        return super().file(self._one(path))

    def placed(self, root: int, path: str) -> Placed | None:
        found = super().placed(root, self._one(path))
        if found is None:
            return None
        directory, _, file = path[len(self._roots[0]) + 1 :].partition("/")
        number = int(file.removeprefix("image-").removesuffix(".jpeg"))
        return found._replace(etag=_listed(int(directory.removeprefix("shard-")), number).etag)

    def _one(self, path: str) -> str:
        return f"{self._roots[0]}/there/{path.rpartition('/')[2]}"


def planned(keys: int, way: str, directory: str) -> dict[str, object]:
    """Plan that many keys in this process, below ``directory``."""
    root = f"{directory}/destination"
    state_directory = f"{root}/.lighterman"
    os.makedirs(state_directory)
    state = State(root, state_directory)
    disk = (AllThere if way == "kept" else DestinationsDisk)(
        [root], [Noted(state)], [state_directory]
    )
    if way == "kept":
        _fill(root, state)
    entry = Entry(
        connection="made-up",
        destination=root,
        workers=1,
        shard=Shard(0, 8) if way == "shard" else None,
    )
    tally = Tally()
    store = cast("Store", MadeUp(keys, is_sorted=way != "unsorted"))
    attempts = Attempts(1, SystemClock(), tally)
    survey = Survey(
        [Declared(entry, 0, 0)],
        [Source(store, Pace(1), Checksums(store, attempts))],
        [root],
        disk,
        state_directory=state_directory,
        attempts=attempts,
        tally=tally,
        stop=threading.Event(),
    )
    begun, begun_cpu = time.perf_counter(), time.process_time()
    surveyed = survey.make()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    disk_bytes = surveyed.spool.disk_bytes
    drained = sum(1 for _ in surveyed.spool.drain())
    surveyed.spool.close()
    state.close()
    return {
        "way": way,
        "keys": keys,
        "files": surveyed.files,
        "kept": surveyed.kept,
        "actions": drained,
        "seconds_per_million": round(seconds / keys * 1e6, 2),
        "cpu_seconds_per_million": round(cpu_seconds / keys * 1e6, 2),
        "peak_mib": round(_peak_kib() / 1024, 1),
        "plan_disk_bytes_per_key": round(disk_bytes / keys, 1),
        "left_on_disk": sorted(name for name in os.listdir(state_directory) if "tmp" in name),
    }


def _peak_kib() -> int:
    """Of this program alone: ``ru_maxrss`` is at least what the parent had when it started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _fill(root: str, state: State) -> None:
    os.mkdir(f"{root}/there")
    rows = []
    for number in range(FILES_PER_DIRECTORY):
        path = f"{root}/there/image-{number:06}.jpeg"
        with open(path, "wb") as file:
            file.truncate(1000 + number)
        rows.append((path, Placed(1000 + number, "", os.stat(path).st_mtime_ns)))
    state.note_placed(rows)


def measured(keys: int, way: str) -> dict[str, Any]:
    """``planned`` in a process of its own, on the quickest disk there is."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # it has no other name
    with tempfile.TemporaryDirectory(dir=place) as directory:
        finished = subprocess.run(
            [sys.executable, __file__, "--child", directory, "--keys", str(keys), "--ways", way],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        )
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, nargs="+", default=list(KEYS))
    options.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options.add_argument("--child", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        Needs.require = lambda _: None  # type: ignore[method-assign,assignment]  # none of it is fetched
        print(json.dumps(planned(given.keys[0], given.ways[0], given.child)))
        return
    rows = []
    for way in given.ways:
        for keys in given.keys:
            rows.append(measured(keys, way))
            print(json.dumps(rows[-1]), file=sys.stderr)
    print(
        "| plan | keys | s per million | CPU s per million | peak MiB | plan on disk, bytes a key |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['way']} | {row['keys']:,} | {row['seconds_per_million']} | "
            f"{row['cpu_seconds_per_million']} | {row['peak_mib']} | {row['plan_disk_bytes_per_key']} |"
        )
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
