"""
Listings from a store that answers each page after a while: one after the other from end to end, and as init asks
for them, side by side and in parts. Seconds, requests, and the ratio, for several ways to name files.
"""

import argparse
import hashlib
import json
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

from initializer.ahead import Ahead, Listing
from lighterman.clock import SystemClock
from lighterman.stores.contract import ETag, Key, Listed, Store
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

PAGE_KEYS: Final = 1000
NAMES: Final[dict[str, Callable[[int], str]]] = {
    "numbered": lambda n: f"train/image_{n:08}.jpeg",
    "numbered, no zeros": lambda n: f"train/image_{n}.jpeg",
    "dirs of 400": lambda n: f"train/d{n // 400:05}/f{n % 400:03}.bin",
    "hashes": lambda n: f"train/{hashlib.sha256(b'%d' % n).hexdigest()}.jpeg",
    "dates": lambda n: (
        f"train/{2000 + n // 10_000}/{n // 800 % 12:02}/{n // 30 % 28:02}/{n:08}.parquet"
    ),
}


class Late:
    """As much of a store as a listing asks for."""

    connection = "late"
    prefix = ""
    lists_after = True

    def __init__(self, keys: Sequence[str], wait_seconds: float) -> None:
        self.keys = sorted(keys)
        self._wait_seconds = wait_seconds
        self._turn = threading.Lock()
        self.requests = 0

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[Listed]]:
        at = max(bisect_left(self.keys, prefix), bisect_right(self.keys, after))
        end = bisect_left(self.keys, f"{prefix}\U0010ffff")
        while True:
            time.sleep(self._wait_seconds)
            with self._turn:
                self.requests += 1
            keys = self.keys[at : min(at + PAGE_KEYS, end)]
            yield [Listed(Key(key), 1, ETag("0123456789abcdef" * 2), 1.7e9) for key in keys]
            at += PAGE_KEYS
            if at >= end:
                return


def measured(
    name: str, keys: Sequence[str], prefixes: Sequence[str], wait_ms: float
) -> dict[str, object]:
    """Both ways, over one store."""
    store = Late(keys, wait_ms / 1000)
    begun = time.perf_counter()
    found = [one.key for prefix in prefixes for page in store.pages(prefix) for one in page]
    plain_seconds, plain_requests = time.perf_counter() - begun, store.requests
    store.requests = 0
    attempts = Attempts(1, SystemClock(), Tally())
    listings = [Listing(cast("Store", store), prefix) for prefix in prefixes]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory, Ahead(listings, attempts, directory) as ahead:
        again = [
            one.key
            for number in range(len(listings))
            for page in ahead.pages(number)
            for one in page
        ]
        seconds = time.perf_counter() - begun
    if found != again:
        raise SystemExit(f"{name}: the listings differ")
    return {
        "listing": name,
        "keys": len(found),
        "wait_ms": wait_ms,
        "seconds_one_by_one": round(plain_seconds, 2),
        "seconds": round(seconds, 2),
        "ratio": round(plain_seconds / seconds, 1),
        "requests_one_by_one": plain_requests,
        "requests": store.requests,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, nargs="+", default=[2_000, 10_000, 100_000])
    options.add_argument("--wait-ms", type=float, nargs="+", default=[20.0, 100.0])
    given = options.parse_args()
    rows = []
    for wait_ms in given.wait_ms:
        dirs = [f"d{number:02}/" for number in range(8)]
        of_dirs = [f"{one}f{number:05}" for one in dirs for number in range(5 * PAGE_KEYS)]
        rows.append(measured("8 dirs of 5,000", of_dirs, dirs, wait_ms))
        for count in given.keys:
            rows += [
                measured(name, [named(number) for number in range(count)], ["train/"], wait_ms)
                for name, named in NAMES.items()
            ]
    print(
        "| listing | keys | ms a page | s, one by one | s | ratio | requests, one by one | requests |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [row[name] for name in ("listing", "keys", "wait_ms", "seconds_one_by_one")]
        cells += [row[name] for name in ("seconds", "ratio", "requests_one_by_one", "requests")]
        print(
            "| "
            + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells)
            + " |"
        )
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
