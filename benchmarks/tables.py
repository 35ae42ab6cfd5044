"""A result as Markdown tables, whose columns are aligned so that they read well on a terminal too."""

from collections.abc import Sequence
from typing import Final

from figures import OURS, Result, Row, Taken, Verdict

MET: Final = "✓"
MISSED: Final = "✗"
_NONE: Final = "-"
_NAMES: Final = {"wall": "wall ≤ {:g}", "cpu": "CPU ≤ {:g}", "peak": "peak ≤ {:g} MiB"}


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. The first two columns are text, the others are numbers, to the right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    rule = [
        "-" * width if at < 2 else "-" * (width - 1) + ":"
        for at, width in enumerate(max(3, width) for width in widths)
    ]
    lines = [
        "| "
        + " | ".join(
            cell.ljust(max(3, width)) if at < 2 else cell.rjust(max(3, width))
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in (head, rule, *rows)
    ]
    return "\n".join(lines)


def medians(result: Result) -> str:
    """What each program took: wall seconds, CPU seconds, peak MiB."""
    names = _programs(result)
    rows = [
        [_workload(row), row.place, *(_cost(row.programs.get(name)) for name in names)]
        for row in result.rows
    ]
    return aligned(["wall s / CPU s / peak MiB", "onto", *names], rows)


def ratios(result: Result) -> str:
    """Lighterman's wall and CPU seconds, divided by those of each other program, and what was wanted of them."""
    peers = [name for name in _programs(result) if name != OURS]
    rows = [
        [
            _workload(row),
            row.place,
            *(_ratios(row.programs.get(peer)) for peer in peers),
            _wanted(row.verdicts) + _unverified(row.unverified_files),
        ]
        for row in result.rows
    ]
    head = ["lighterman's wall / CPU, ÷", "onto", *(f"÷ {peer}" for peer in peers), "wanted"]
    return aligned(head, rows)


def facts(result: Result) -> str:
    """One sentence: when, on what, and which versions."""
    machine = result.machine
    places = ", ".join(f"{name} is {system}" for name, system in machine.places.items())
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return (
        f"{result.date}, {machine.cores} cores ({machine.processor}), {machine.memory_gib} GiB, Linux {machine.kernel}, "
        f"Python {machine.python}{_load(machine.load_before)}; {places}. {versions}. Medians of "
        f"{_counted(result.rounds)}{_fewer_rounds(result)}."
    )


def _load(load_before: float | None) -> str:
    return "" if load_before is None else f", load {load_before:g} before it began"


def _counted(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def _fewer_rounds(result: Result) -> str:
    fewer = {
        name: program.rounds
        for row in result.rows
        for name, program in row.programs.items()
        if program.rounds < result.rounds
    }
    return "".join(f", of {name} {rounds}" for name, rounds in fewer.items())


def _programs(result: Result) -> list[str]:
    return list(dict.fromkeys(name for row in result.rows for name in row.programs))


def _workload(row: Row) -> str:
    late = f", {row.latency_milliseconds} ms a request" if row.latency_milliseconds else ""
    return f"{row.title}{late}"


def _cost(program: Taken | None) -> str:
    if program is None:
        return _NONE
    return (
        f"{seconds(program.wall_seconds)} / {seconds(program.cpu_seconds)} / {program.peak_mib:.0f}"
    )


def seconds(value: float) -> str:
    """Two places below ten seconds, one above."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _ratios(program: Taken | None) -> str:
    if program is None or program.wall_ratio is None or program.cpu_ratio is None:
        return _NONE
    return f"{program.wall_ratio:.2f} / {program.cpu_ratio:.2f}"


def _wanted(verdicts: Sequence[Verdict]) -> str:
    """``s5cmd: wall ≤ 0.6 ✓, CPU ≤ 0.6 ✗; peak ≤ 100 MiB ✓``."""
    parts: dict[str, list[str]] = {}
    for one in verdicts:
        mark = MET if one.is_met else MISSED
        parts.setdefault(one.peer, []).append(f"{_NAMES[one.figure].format(one.at_most)} {mark}")
    return "; ".join(
        ", ".join(told) if peer == OURS else f"{peer}: {', '.join(told)}"
        for peer, told in parts.items()
    )


def _unverified(files: int | None) -> str:
    return "" if files is None else f"; unverified: {files} {MISSED if files else MET}"
