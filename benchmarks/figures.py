"""What a run of the benchmark found: medians, ratios, and whether they are what was wanted."""

import statistics
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

OURS: Final = "lighterman"

Figure = Literal["wall", "cpu", "peak"]


class Cost(msgspec.Struct, frozen=True):
    """What one program took in one round. CPU is that of the whole tree of processes, user and system."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    store_cpu_seconds: float = 0.0


class Wanted(msgspec.Struct, frozen=True):
    """At most so much: of a peer's wall or CPU seconds, as a ratio."""

    peer: str
    figure: Figure
    at_most: float


class Verdict(msgspec.Struct, frozen=True):
    """What was wanted, and what was found."""

    peer: str
    figure: Figure
    at_most: float
    found: float
    is_met: bool


class Taken(msgspec.Struct, frozen=True):
    """
    One program's medians in one row. ``wall_ratio`` and ``cpu_ratio`` are lighterman's seconds over this program's:
    the median of the ratios of each round; none for lighterman itself, or where it didn't run.
    """

    rounds: int
    wall_seconds: float
    wall_seconds_least: float
    wall_seconds_most: float
    cpu_seconds: float
    peak_mib: float
    store_cpu_seconds: float
    wall_ratio: float | None = None
    cpu_ratio: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One workload onto one place."""

    name: str
    title: str
    place: str
    latency_milliseconds: int
    files: int
    total_bytes: int
    programs: dict[str, Taken]
    verdicts: list[Verdict]
    unverified_files: int | None = None
    """Those that lighterman's own report counts, in the last round."""


class Machine(msgspec.Struct, frozen=True):
    """Where it ran."""

    cores: int
    processor: str
    memory_gib: int
    kernel: str
    python: str
    places: dict[str, str]
    """The file system of each place, by the place's name."""
    load_before: float | None = None
    """How many processes wanted a core in the minute before: what others do on it is in every figure."""


class Result(msgspec.Struct, frozen=True):
    """The whole run, as ``fetch.json`` holds it."""

    date: str
    rounds: int
    machine: Machine
    versions: dict[str, str]
    commands: dict[str, str]
    rows: list[Row]


def taken(costs: Sequence[Cost], ours: Sequence[Cost] | None) -> Taken:
    """
    The medians of a program's rounds, with the ratios to ours where given. A program may have fewer rounds than
    another; round n of one is compared with round n of the other.
    """
    walls = [cost.wall_seconds for cost in costs]
    cpus = [cost.cpu_seconds for cost in costs]
    our_walls = [cost.wall_seconds for cost in ours or ()]
    our_cpus = [cost.cpu_seconds for cost in ours or ()]
    return Taken(
        rounds=len(costs),
        wall_seconds=_median(walls),
        wall_seconds_least=round(min(walls), 3),
        wall_seconds_most=round(max(walls), 3),
        cpu_seconds=_median(cpus),
        peak_mib=round(statistics.median(cost.peak_mib for cost in costs), 1),
        store_cpu_seconds=_median([cost.store_cpu_seconds for cost in costs]),
        wall_ratio=_ratio(our_walls, walls) if ours else None,
        cpu_ratio=_ratio(our_cpus, cpus) if ours else None,
    )


def compared(costs: dict[str, list[Cost]]) -> dict[str, Taken]:
    """Every program's medians, and the ratio of lighterman's to each other's."""
    ours = costs.get(OURS)
    return {
        program: taken(its, None if program == OURS else ours) for program, its in costs.items()
    }


def verdicts(
    programs: dict[str, Taken], wanted: Sequence[Wanted], most_peak_mib: float
) -> list[Verdict]:
    """What was wanted, beside what was found; without what didn't run. The limit on memory comes last."""
    if OURS not in programs:
        return []
    found = []
    for one in wanted:
        peer = programs.get(one.peer)
        if peer is None:
            continue
        ratio = peer.wall_ratio if one.figure == "wall" else peer.cpu_ratio
        if ratio is not None:
            found.append(Verdict(one.peer, one.figure, one.at_most, ratio, ratio <= one.at_most))
    peak_mib = programs[OURS].peak_mib
    found.append(Verdict(OURS, "peak", most_peak_mib, peak_mib, peak_mib <= most_peak_mib))
    return found


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    # The kernel counts CPU in ticks: a program that took less than one has none.
    return round(
        statistics.median(
            mine / max(0.001, other) for mine, other in zip(ours, theirs, strict=False)
        ),
        3,
    )


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)
