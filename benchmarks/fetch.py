"""
``lighterman init`` beside s5cmd and rclone, each fetching the same buckets of an ideal store onto tmpfs. The
programs take turns; figures are medians of all turns, ratios the medians of the turns' own ratios. ``cp -r`` of
the same files is the floor.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from ideal_store import Ideal, add_bucket, ideal_store

MIB: Final = 1024 * 1024
HERE: Final = Path(sys.executable).parent


class Workload(NamedTuple):
    """One row of the table."""

    name: str
    bucket: str
    is_slow: bool = False
    """Whether each request is answered late."""


WORKLOADS: Final = {
    "small": Workload("10,000 files of 1 to 50 KB", "small"),
    "small-late": Workload("the same, 20 ms a request", "small", is_slow=True),
    "tiny": Workload("20,000 files of 1 KB", "tiny"),
    "large": Workload("one file of 2 GiB", "large"),
    "mixed": Workload("2,000 small files and 8 of 256 MiB", "mixed"),
}


class Cost(NamedTuple):
    """What one run took."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=9)
    options.add_argument("--only", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    given = options.parse_args()
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tmpfs, not /tmp
    with tempfile.TemporaryDirectory(dir=fast) as directory:
        root = Path(directory)
        root.chmod(0o755)  # nginx gives up root
        _fill(root, {WORKLOADS[name].bucket for name in given.only})
        with ideal_store(root) as store:
            rows = [_measured(WORKLOADS[name], store, given.turns) for name in given.only]
    print(json.dumps(rows, indent=2))


def _fill(root: Path, buckets: set[str]) -> None:
    draw = random.Random(1)
    small = {_name(number): draw.randint(1000, 50_000) for number in range(10_000)}
    if "small" in buckets:
        add_bucket(root, "small", small, manifest=False)
    if "tiny" in buckets:
        tiny = {_name(number): 1024 for number in range(20_000)}
        add_bucket(root, "tiny", tiny, manifest=False)
    if "large" in buckets:
        add_bucket(root, "large", {"model.bin": 2048 * MIB}, manifest=True)
    if "mixed" in buckets:
        large = {f"shards/{number}.bin": 256 * MIB for number in range(8)}
        add_bucket(root, "mixed", dict(list(small.items())[:2000]) | large, manifest=False)


def _name(number: int) -> str:
    return f"{number % 100:03}/{number:05}.bin"


def _measured(workload: Workload, store: Ideal, turns: int) -> dict[str, object]:
    endpoint = store.slow_endpoint if workload.is_slow else store.endpoint
    target = store.root / "fetched"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(store.root),
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench-secret-of-no-one",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }
    commands = _commands(workload.bucket, endpoint, store.root, target)
    costs: dict[str, list[Cost]] = {program: [] for program in commands}
    for _ in range(turns + 1):
        for program, command in commands.items():
            shutil.rmtree(target, ignore_errors=True)
            costs[program].append(_run(command, environ))
    ours = costs["lighterman"][1:]  # the first turn reads the programs from disk
    row: dict[str, object] = {"workload": workload.name}
    for program, all_of_it in costs.items():
        its = all_of_it[1:]
        row[program] = {
            field: round(statistics.median(getattr(cost, field) for cost in its), 2)
            for field in Cost._fields
        }
        if program != "lighterman":
            row[f"ratio to {program}"] = {
                field: round(
                    statistics.median(
                        getattr(mine, field) / max(0.001, getattr(other, field))
                        for mine, other in zip(ours, its, strict=True)
                    ),
                    2,
                )
                for field in ("wall_seconds", "cpu_seconds")
            }
    return row


def _commands(bucket: str, endpoint: str, root: Path, target: Path) -> dict[str, list[str]]:
    remote = (
        f":s3,provider=Other,access_key_id=bench,secret_access_key=bench,region=us-east-1,"
        f"endpoint='{endpoint}',list_version=2,no_check_bucket=true:{bucket}"
    )
    return {
        "lighterman": [str(HERE / "lighterman"), "init", f"s3://{bucket}", str(target)],
        "s5cmd": [
            *(str(HERE / "s5cmd"), "--endpoint-url", endpoint),
            *("cp", f"s3://{bucket}/*", f"{target}/"),
        ],
        "rclone": [
            *(str(HERE / "rclone"), "copy", "--fast-list", "--transfers", "32"),
            *("--config", os.devnull, remote, str(target)),
        ],
        "cp -r": ["cp", "-r", str(root / "objects" / bucket), str(target)],
    }


def _run(command: list[str], environ: dict[str, str]) -> Cost:
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        _, status, used = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise SystemExit(
                f"{command[0]} ended with {process.returncode}: {said.read()[-2000:]!r}"
            )
    return Cost(wall_seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
