"""
``lighterman init`` of the mixed row, killed once at a random moment and started again on what it left, over and
over: each time the tree must be complete and equal. What the store sent in both lives together, beyond what it has,
was fetched again.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from buckets import MANIFEST, add_bucket
from ideal_store import Ideal, ideal_store
from programs import Fetch, Program
from running import check_contents, check_sizes
from workloads import sizes

BUCKET: Final = "mixed"
_SHM: Final = Path("/dev/shm")  # noqa: S108  # tmpfs, not a place for temporary files


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = options.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory(dir=_SHM if os.access(_SHM, os.W_OK) else None) as directory:
        root = Path(directory)
        root.chmod(0o755)  # nginx gives up root
        add_bucket(root, BUCKET, sizes(BUCKET))
        log = root / "sent.log"
        with ideal_store(root, log) as store:
            # What a life that isn't disturbed takes: moments are drawn from it.
            whole_seconds, _ = _life(store, None)
            shares = [
                _killed_once(store, log, chance.uniform(0, whole_seconds))
                for _ in range(given.kills)
            ]
    told = {
        "seed": given.seed,
        "kills": given.kills,
        "undisturbed_seconds": round(whole_seconds, 2),
        "killed_before_the_end": sum(share is not None for share in shares),
        "fetched_again_percent": _summary([share for share in shares if share is not None]),
    }
    print(json.dumps(told, indent=2))


def _summary(shares: list[float]) -> dict[str, float]:
    return {
        "median": round(100 * statistics.median(shares), 2),
        "most": round(100 * max(shares), 2),
    }


def _killed_once(store: Ideal, log: Path, seconds: float) -> float | None:
    """The share of the bucket's bytes that was sent more than once; none where init was done before the kill."""
    _sent_bytes(log)
    _, is_done = _life(store, seconds)
    if is_done:
        return None
    _life(store, None, goes_on=True)
    fetch, wanted = _fetch(store), sizes(BUCKET)
    check_sizes("lighterman", fetch.target, wanted)
    check_contents("lighterman", fetch.target, fetch.objects, wanted)
    bucket_bytes = sum(wanted.values())
    return (_sent_bytes(log) - bucket_bytes) / bucket_bytes


def _life(
    store: Ideal, kill_after_seconds: float | None, *, goes_on: bool = False
) -> tuple[float, bool]:
    """One process; how long it lived, and whether it was done."""
    program, fetch = Program("lighterman"), _fetch(store)
    if not goes_on:
        shutil.rmtree(fetch.target, ignore_errors=True)
    begun = time.perf_counter()
    with (store.root / "output").open("wb") as output:
        process = subprocess.Popen(
            program.command(fetch),
            env=program.environment(fetch, store.root),
            stdout=output,
            stderr=output,
        )
        try:
            process.wait(kill_after_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        said = (store.root / "output").read_text(errors="replace")
        raise SystemExit(f"init ended with {process.returncode}: {said[-2000:]}")
    return time.perf_counter() - begun, process.returncode == 0


def _fetch(store: Ideal) -> Fetch:
    return Fetch(store.endpoint, BUCKET, store.root / "objects" / BUCKET, store.root / "target")


def _sent_bytes(log: Path) -> int:
    """What was sent of objects since the last call."""
    lines = [line.split() for line in log.read_text().splitlines()]
    os.truncate(log, 0)
    objects = (line for line in lines if "list-type=" not in line[1] and MANIFEST not in line[1])
    return sum(int(size) for size, _ in objects)


if __name__ == "__main__":
    main()
