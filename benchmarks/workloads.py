"""The rows of the benchmark: what is in the bucket, how late each request is answered, and what is wanted of it."""

import random
from typing import Final, NamedTuple

from buckets import MIB
from figures import Wanted
from ideal_store import LATENCY_MILLISECONDS

PEAK_MIB: Final = 100
"""What lighterman may take in any row."""


class Workload(NamedTuple):
    """One row, before it is known onto what."""

    title: str
    bucket: str
    latency_milliseconds: int = 0
    wanted_on_tmpfs: tuple[Wanted, ...] = ()


def _by_latency() -> dict[str, Workload]:
    rows = {
        "small": Workload(
            "10,000 files of 1 to 50 KB",
            "small",
            wanted_on_tmpfs=(
                Wanted("s5cmd", "wall", 0.6),
                Wanted("s5cmd", "cpu", 0.6),
                Wanted("rclone", "wall", 0.3),
            ),
        ),
        "tiny": Workload(
            "20,000 files of 1 KB",
            "tiny",
            wanted_on_tmpfs=(Wanted("s5cmd", "wall", 0.5), Wanted("rclone", "wall", 0.3)),
        ),
        "large": Workload(
            "one file of 2 GiB",
            "large",
            wanted_on_tmpfs=(
                Wanted("s5cmd", "wall", 0.6),
                Wanted("s5cmd", "cpu", 0.7),
                Wanted("rclone", "wall", 0.5),
            ),
        ),
        "mixed": Workload(
            "2,000 small and 8 of 256 MiB",
            "mixed",
            wanted_on_tmpfs=(Wanted("s5cmd", "wall", 0.6), Wanted("rclone", "wall", 0.5)),
        ),
    }
    wanted_late = {"small": (Wanted("s5cmd", "wall", 0.8), Wanted("rclone", "wall", 0.5))}
    both: dict[str, Workload] = {}
    for name, row in rows.items():
        both[name] = row
        both[f"{name}-late"] = row._replace(
            latency_milliseconds=LATENCY_MILLISECONDS, wanted_on_tmpfs=wanted_late.get(name, ())
        )
    return both


WORKLOADS: Final = _by_latency()


def sizes(bucket: str) -> dict[str, int]:
    """The bytes of each object of a bucket, by its key; the same in every run."""
    draw = random.Random(1)
    small = {_name(number): draw.randint(1000, 50_000) for number in range(10_000)}
    match bucket:
        case "small":
            return small
        case "tiny":
            return {_name(number): 1024 for number in range(20_000)}
        case "large":
            return {"model.bin": 2048 * MIB}
        case "mixed":
            large = {f"shards/{number}.bin": 256 * MIB for number in range(8)}
            return dict(list(small.items())[:2000]) | large
        case _:
            raise ValueError(f"no bucket {bucket}")


def _name(number: int) -> str:
    return f"{number % 100:03}/{number:05}.bin"
