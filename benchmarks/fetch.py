"""
``lighterman init`` beside s5cmd, rclone, boto3's transfer and ``cp -r``: each fetches the same buckets of an ideal
store, onto tmpfs and onto a disk, with and without latency. The programs take turns; what every run brought is
checked. The tables go to stdout, all figures to ``fetch.json`` and a plot to ``fetch.svg`` in ``--out``.
"""

import argparse
import datetime as dt
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import plot
import tables
from buckets import add_bucket, remove_bucket
from figures import OURS, Cost, Result, Row, compared, verdicts
from ideal_store import Ideal, ideal_store, nginx_version
from machine import machine
from profiling import profile
from programs import REPOSITORY, Fetch, Program, programs
from running import check_contents, check_sizes, empty, run, unverified_files
from workloads import PEAK_MIB, WORKLOADS, Workload, sizes

GIB: Final = 1 << 30
PROGRAMS: Final = ("lighterman", "s5cmd", "rclone", "boto3", "cp")
PLACES: Final = ("tmpfs", "disk")
OUT: Final = REPOSITORY / "build" / "bench"


def main() -> None:
    given = _options().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    given.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        root = stack.enter_context(emptied_at_end(given.shm))
        # What a place holds is public, and nginx gives up root.
        root.chmod(0o755)
        places = {}
        for name in given.places:
            parent = {"tmpfs": root, "disk": given.disk or given.out}[name]
            places[name] = stack.enter_context(emptied_at_end(parent)) / "fetched"
        _check_space(given, root)
        if given.profile:
            _profile(given, root)
            return
        taking_turns = programs(given.programs, given.lighterman, given.before, given.boto3_rounds)
        result = Result(
            date=dt.datetime.now(dt.UTC).date().isoformat(),
            rounds=given.rounds,
            machine=machine({name: path.parent for name, path in places.items()}),
            versions={program.name: program.version() for program in taking_turns}
            | {"nginx": nginx_version()},
            commands={program.name: program.shown() for program in taking_turns},
            rows=[],
        )
        store = stack.enter_context(ideal_store(root))
        for row in _rows(given, store, places, taking_turns):
            # Written after each row, so that a run of an hour that is stopped leaves what it has.
            result = msgspec.structs.replace(result, rows=[*result.rows, row])
            text = msgspec.json.format(msgspec.json.encode(result))
            (given.out / "fetch.json").write_bytes(text + b"\n")
            (given.out / "fetch.svg").write_text(plot.svg(result))
    for part in (tables.facts, tables.medians, tables.ratios):
        print(part(result), end="\n\n")


def stop(*_: object) -> None:
    """Leave by all the blocks that tidy up, undisturbed by a second signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit("stopped; what was made is taken away")


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=some(WORKLOADS), default=list(WORKLOADS), metavar="A,B,…",
                         help=f"of {', '.join(WORKLOADS)}; late: 20 ms a request")  # fmt: skip
    options.add_argument("--places", type=some(PLACES), default=list(PLACES), metavar="A,B",
                         help="of tmpfs, disk")  # fmt: skip
    options.add_argument("--programs", type=some(PROGRAMS), default=list(PROGRAMS), metavar="A,B,…",
                         help=f"of {', '.join(PROGRAMS)}")  # fmt: skip
    options.add_argument("--rounds", type=count, default=5, help="after one that isn't counted")
    options.add_argument("--boto3-rounds", type=count, default=3,
                         help="at most so many for boto3, which takes minutes in a row")  # fmt: skip
    options.add_argument("--lighterman", type=checkout, default=REPOSITORY, metavar="CHECKOUT",
                         help="the checkout that is measured; default: this one")  # fmt: skip
    options.add_argument("--before", type=checkout, metavar="CHECKOUT",
                         help="another one, which takes turns too, as 'before'")  # fmt: skip
    options.add_argument("--out", type=Path, default=OUT, help="default: build/bench")
    options.add_argument("--disk", type=directory, metavar="DIR",
                         help="where 'disk' is; default: --out")  # fmt: skip
    options.add_argument("--shm", type=directory, default=Path("/dev/shm"), metavar="DIR",  # noqa: S108 - tmpfs, not /tmp
                         help="a tmpfs, for the store and 'tmpfs'; default: /dev/shm")  # fmt: skip
    options.add_argument("--profile", action="store_true",
                         help="sample lighterman in each row with py-spy instead of measuring")  # fmt: skip
    return options


def some(names: Iterable[str]) -> Callable[[str], list[str]]:
    """An argument's type: some of these names, between commas, in this order."""

    def parsed(text: str) -> list[str]:
        given = [name.strip() for name in text.split(",")]
        if unknown := [name for name in given if name not in names]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(names)}")
        return [name for name in names if name in given]

    return parsed


def count(text: str) -> int:
    """An argument's type: how many."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def checkout(text: str) -> Path:
    """An argument's type: where a version of Lighterman is."""
    if not Path(text, "initializer", "__init__.py").exists():
        raise argparse.ArgumentTypeError(f"{text!r} is no checkout of Lighterman")
    return Path(text).resolve()


def directory(text: str) -> Path:
    """An argument's type: one that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no directory")
    return Path(text).resolve()


@contextmanager
def emptied_at_end(parent: Path) -> Iterator[Path]:
    """A directory for the length of the block."""
    with tempfile.TemporaryDirectory(prefix="lighterman-bench-", dir=parent) as made:
        yield Path(made)


def _check_space(given: argparse.Namespace, root: Path) -> None:
    """A bucket at a time is there, and what one program made of it."""
    largest = max(sum(sizes(WORKLOADS[name].bucket).values()) for name in given.rows)
    wanted = largest * (2 if "tmpfs" in given.places else 1) + GIB // 4
    free = shutil.disk_usage(root).free
    if free < wanted:
        raise SystemExit(
            f"{given.shm} has {free / GIB:.1f} GiB free, and these rows want {wanted / GIB:.1f}: "
            "choose smaller ones (--rows small,tiny), or another directory (--shm DIR)"
        )


def _rows(
    given: argparse.Namespace,
    store: Ideal,
    places: dict[str, Path],
    taking_turns: list[Program],
) -> Iterator[Row]:
    for bucket, names in _by_bucket(given.rows).items():
        its = sizes(bucket)
        add_bucket(store.root, bucket, its)
        for name in names:
            for place, target in places.items():
                print(f"{name} onto {place} …", file=sys.stderr)
                costs, unverified = _costs(
                    WORKLOADS[name], store, target, taking_turns, given.rounds
                )
                found = compared(costs)
                wanted = WORKLOADS[name].wanted_on_tmpfs if place == "tmpfs" else ()
                yield Row(
                    name=name,
                    title=WORKLOADS[name].title,
                    place=place,
                    latency_milliseconds=WORKLOADS[name].latency_milliseconds,
                    files=len(its),
                    total_bytes=sum(its.values()),
                    programs=found,
                    verdicts=verdicts(found, wanted, PEAK_MIB),
                    unverified_files=unverified,
                )
        remove_bucket(store.root, bucket)


def _by_bucket(names: list[str]) -> dict[str, list[str]]:
    """The rows in an order in which each bucket is made once."""
    buckets: dict[str, list[str]] = {}
    for name in names:
        buckets.setdefault(WORKLOADS[name].bucket, []).append(name)
    return buckets


def _costs(
    workload: Workload, store: Ideal, target: Path, taking_turns: list[Program], rounds: int
) -> tuple[dict[str, list[Cost]], int | None]:
    """
    What each program took in each round, and how many files lighterman says that it could not verify. Before the first is one that isn't counted, which reads the programs from
    the disk (without those of few rounds, which take too long for that to matter). What each program brings first is
    compared with the objects, byte by byte.
    """
    its = sizes(workload.bucket)
    endpoint = store.slow_endpoint if workload.latency_milliseconds else store.endpoint
    fetch = Fetch(endpoint, workload.bucket, store.root / "objects" / workload.bucket, target)
    costs: dict[str, list[Cost]] = {program.name: [] for program in taking_turns}
    unverified = None
    for turn in range(rounds + 1):
        for program in taking_turns:
            first, last = (0, rounds) if program.most_rounds is None else (1, program.most_rounds)
            if not first <= turn <= last:
                continue
            cost = run(program, fetch, store)
            if program.name == OURS:
                unverified = unverified_files((store.root / "output").read_text(errors="replace"))
            check_sizes(program.name, target, its)
            if turn == first:
                check_contents(program.name, target, fetch.objects, its)
            if turn:
                costs[program.name].append(cost)
            empty(target)
    return costs, unverified


def _profile(given: argparse.Namespace, root: Path) -> None:
    """A summary of where lighterman's time goes, for each row, in ``--out``."""
    program = Program(OURS, checkout=given.lighterman)
    with ideal_store(root) as store:
        for bucket, names in _by_bucket(given.rows).items():
            add_bucket(root, bucket, sizes(bucket))
            for name in names:
                late = WORKLOADS[name].latency_milliseconds
                endpoint = store.slow_endpoint if late else store.endpoint
                fetch = Fetch(endpoint, bucket, root / "objects" / bucket, root / "fetched")
                for kind, of_lock in (("running", False), ("lock", True)):
                    out = given.out / f"profile-{name}-{kind}"
                    profile(program, fetch, root, out, of_lock=of_lock)
                    empty(fetch.target)
            remove_bucket(root, bucket)


if __name__ == "__main__":
    main()
