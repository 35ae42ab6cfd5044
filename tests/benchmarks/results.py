"""Results of a benchmark that never ran."""

from figures import Cost, Machine, Result, Row, Wanted, compared, verdicts


def cost(wall_seconds, cpu_seconds=1.0, peak_mib=50.0):
    return Cost(wall_seconds, cpu_seconds, peak_mib)


def row(costs, *, name="small", place="tmpfs", late=0, wanted=()):
    found = compared(costs)
    return Row(
        name=name,
        title="10 files",
        place=place,
        latency_milliseconds=late,
        files=10,
        total_bytes=100,
        programs=found,
        verdicts=verdicts(found, wanted, 100),
    )


def result(*rows):
    return Result(
        date="2026-11-27",
        rounds=3,
        machine=Machine(2, "a processor", 24, "6.1", "3.11.7", {"tmpfs": "tmpfs"}),
        versions={"lighterman": "abc", "s5cmd": "2.3.0"},
        commands={"lighterman": "lighterman init s3://BUCKET DIRECTORY"},
        rows=list(rows),
    )


TWO_ROWS = result(
    row(
        {"lighterman": [cost(1.0)] * 3, "s5cmd": [cost(2.0, 4.0)] * 3, "boto3": [cost(40.0)]},
        wanted=[Wanted("s5cmd", "wall", 0.6), Wanted("s5cmd", "cpu", 0.2)],
    ),
    row(
        {"lighterman": [cost(1.0, peak_mib=120.0)] * 3, "s5cmd": [cost(0.5)] * 3},
        name="small-late",
        late=20,
    ),
)
