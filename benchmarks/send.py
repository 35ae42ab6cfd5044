"""
``lighterman sync`` beside s5cmd and rclone: each sends the same trees from tmpfs to a sink that costs next to nothing,
with and without latency, and to a Ceph RGW where there is one. The programs take turns; what every run sent is
checked. The tables go to stdout, all figures to ``send.json`` and a plot to ``send.svg`` in ``--out``.
"""

import argparse
import datetime as dt
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import plot
import tables
from ceph import Bucket, ceph_bucket
from fetch import checkout, count, directory, emptied_at_end, some, stop
from figures import OURS, Cost, Result, Row, compared, verdicts
from ideal_store import Ideal, nginx_version
from machine import machine
from programs import REPOSITORY
from report import HEADINGS
from running import measured
from shiploads import (
    CEPH,
    IDEAL,
    PEAK_MIB,
    SHIPLOADS,
    Send,
    Sender,
    Shipload,
    make_tree,
    senders,
    tree_sizes,
)
from sink import changes, check_objects, count_objects, empty_sink, sink

PROGRAMS: Final = (OURS, "s5cmd", "rclone")
OUT: Final = REPOSITORY / "build" / "bench"
GIB: Final = 1 << 30
FILE_BYTES: Final = 24 << 10
"""What a file takes beside its bytes: two pages, and up to 14 KiB in s5cmd when it compares (measured)."""
_NO_LOGIN: Final = ("bench", "bench-secret-of-no-one")


class Ground(NamedTuple):
    """Where a row is measured."""

    store: Ideal
    ceph: Bucket | None
    root: Path


def main() -> None:
    given = _options().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    given.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        root = stack.enter_context(emptied_at_end(given.shm))
        root.chmod(0o755)  # nginx gives up root
        store = stack.enter_context(sink(root))
        taking_turns = senders(given.programs, given.lighterman, given.before)
        result = Result(
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            rounds=given.rounds,
            machine=machine({IDEAL: root}),
            versions={each.name: each.version() for each in taking_turns}
            | {"nginx": nginx_version()},
            commands=_commands(taking_turns),
            rows=[],
        )
        for row in _rows(given, Ground(store, None, root), taking_turns):
            # Written after each row, so that a run of an hour that is stopped leaves what it has.
            result = msgspec.structs.replace(result, rows=[*result.rows, row])
            text = msgspec.json.format(msgspec.json.encode(result))
            (given.out / "send.json").write_bytes(text + b"\n")
            (given.out / "send.svg").write_text(plot.svg(result, HEADINGS["send"]))
    for part in (tables.facts, tables.medians, tables.ratios):
        print(part(result), end="\n\n")


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=some(SHIPLOADS), default=list(SHIPLOADS), metavar="A,B,…",
                         help=f"of {', '.join(SHIPLOADS)}; late: 20 ms a request")  # fmt: skip
    options.add_argument("--programs", type=some(PROGRAMS), default=list(PROGRAMS), metavar="A,B,…",
                         help=f"of {', '.join(PROGRAMS)}")  # fmt: skip
    options.add_argument("--rounds", type=count, default=5, help="after one that isn't counted")
    options.add_argument("--lighterman", type=checkout, default=REPOSITORY, metavar="CHECKOUT",
                         help="the checkout that is measured; default: this one")  # fmt: skip
    options.add_argument("--before", type=checkout, metavar="CHECKOUT",
                         help="another one, which takes turns too, as 'before'")  # fmt: skip
    options.add_argument("--out", type=Path, default=OUT, help="default: build/bench")
    options.add_argument("--shm", type=directory, default=Path("/dev/shm"), metavar="DIR",  # noqa: S108 - tmpfs, not /tmp
                         help="a tmpfs, for the trees and what is sent; default: /dev/shm")  # fmt: skip
    return options


def _commands(taking_turns: list[Sender]) -> dict[str, str]:
    commands = {each.name: each.shown(is_unchanged=False) for each in taking_turns}
    again = {f"{each.name} again": each.shown(is_unchanged=True) for each in taking_turns}
    return commands | {name: line for name, line in again.items() if line not in commands.values()}


def _rows(given: argparse.Namespace, ground: Ground, taking_turns: list[Sender]) -> Iterator[Row]:
    for name in given.rows:
        load, sizes = SHIPLOADS[name], tree_sizes(SHIPLOADS[name].tree)
        with ExitStack() as stack:
            here, why_not = ground, _why_not(sizes)
            if load.place == CEPH and not why_not:
                ceph = stack.enter_context(ceph_bucket(ground.root / "ceph", load.tree))
                here, why_not = ground._replace(ceph=ceph), "" if ceph else "no Ceph is installed"
            if why_not:
                print(f"{name} is left out: {why_not}", file=sys.stderr)
                continue
            print(f"{name} …", file=sys.stderr)
            tree = stack.enter_context(_tree(ground.root, sizes))
            able = [each for each in taking_turns if each.name in load.programs]
            found = compared(_costs(load, here, tree, sizes, able, given.rounds))
        yield Row(
            name=name,
            title=load.title,
            place=load.place,
            latency_milliseconds=load.latency_milliseconds,
            files=len(sizes),
            total_bytes=sum(sizes.values()),
            programs=found,
            verdicts=verdicts(found, load.wanted, PEAK_MIB),
        )


def _why_not(sizes: dict[str, int]) -> str:
    """What lacks for a tree and what is sent of it, both in memory; ``""`` if nothing does."""
    wanted = 2 * sum(sizes.values()) + FILE_BYTES * len(sizes) + GIB // 2
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:") and int(line.split()[1]) * 1024 < wanted:
            return f"it wants {wanted / GIB:.1f} GiB of memory, and this machine has less free"
    return ""


@contextmanager
def _tree(root: Path, sizes: dict[str, int]) -> Iterator[Path]:
    tree = root / "tree"
    make_tree(tree, sizes)
    try:
        yield tree
    finally:
        shutil.rmtree(tree)


def _costs(
    load: Shipload,
    ground: Ground,
    tree: Path,
    sizes: dict[str, int],
    taking_turns: list[Sender],
    rounds: int,
) -> dict[str, list[Cost]]:
    """
    What each program took in each round. Before the first is one that isn't counted, which reads the programs from
    the disk. What each program sends first is compared with the files, byte by byte.
    """
    costs: dict[str, list[Cost]] = {each.name: [] for each in taking_turns}
    store = ground.store
    if load.is_unchanged:
        _run(load, ground, tree, senders([OURS], REPOSITORY, None)[0])
    for turn in range(rounds + 1):
        for sender in taking_turns:
            before = changes(store)
            cost = _run(load, ground, tree, sender)
            if turn:
                costs[sender.name].append(cost)
            if load.is_unchanged:
                if changes(store) != before:
                    raise SystemExit(f"{sender.name} sent something, and nothing had changed")
                continue
            if ground.ceph is not None and load.place == CEPH:
                ground.ceph.check_and_empty(sender.name, sizes)
            else:
                if turn:
                    _check_count(sender, store, load.tree, len(sizes))
                else:
                    check_objects(sender.name, store, load.tree, tree, sizes)
                empty_sink(store)
            shutil.rmtree(ground.root / "state", ignore_errors=True)
    shutil.rmtree(ground.root / "state", ignore_errors=True)
    empty_sink(store)
    return costs


def _run(load: Shipload, ground: Ground, tree: Path, sender: Sender) -> Cost:
    store, ceph = ground.store, ground.ceph
    endpoint = store.slow_endpoint if load.latency_milliseconds else store.endpoint
    login = _NO_LOGIN
    is_ceph = ceph is not None and load.place == CEPH
    if ceph is not None and is_ceph:
        endpoint, login = ceph.endpoint, ceph.login
    state = ground.root / "state"
    send = Send(endpoint, load.tree, tree, state, load.is_unchanged, is_ceph)
    environment = sender.environment(send, ground.root, login)
    return measured(sender.name, sender.command(send), environment, store)


def _check_count(sender: Sender, store: Ideal, bucket: str, files: int) -> None:
    found = count_objects(store, bucket)
    if found != files:
        raise SystemExit(f"{sender.name} sent {found} of {files} files")


if __name__ == "__main__":
    main()
