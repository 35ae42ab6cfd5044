"""A grace that is too short for what is left: what is saved, what is said, and who finishes."""

import signal

import pytest

KIB = 1024
SIZES = {f"f{number:02}": 100 * KIB + number for number in range(24)}
RATE = "200k"
"""Twelve seconds for all of it."""


@pytest.fixture
def hurried(s3_outputs):
    """A sidecar that is told to stop with a backlog of six times its grace."""

    def start(*flags):
        running = s3_outputs.sidecar(
            *("--native", "--settle", "60", "--grace", "2", "--bwlimit", RATE), *flags
        )
        for name, size_bytes in reversed(SIZES.items()):
            s3_outputs.write(name, "x" * size_bytes)
        running.signal(signal.SIGTERM)
        return running

    return start


@pytest.mark.parametrize(("finisher", "workers"), [("the next start", 1), ("sync", 16)])
def test_it_exits_by_itself_names_what_is_missing_and_the_next_start_finishes(
    s3_outputs, hurried, finisher, workers
):
    """75 before the kill; the smallest are there, the others in the report and sent by whoever comes next."""
    ended = hurried("--workers", workers).finish(seconds=20)
    there = s3_outputs.names()
    assert (ended.code, ended.report["error"]["kind"]) == (75, "deadline")
    assert 0 < len(there) < len(SIZES) / 2
    assert set(there) <= set(sorted(SIZES)[: len(there) + workers])
    missing = ended.report["failed"]
    # A request that is under way at the deadline may still land.
    assert len(SIZES) - len(there) <= missing["count"] <= len(SIZES) - ended.report["files"]
    named = {one["key"].removeprefix("out/") for one in missing["first"]}
    assert named <= set(SIZES) - set(there[: ended.report["files"]])
    assert ended.event("sidecar.failed")["code"] == 75
    if finisher == "sync":
        again = s3_outputs.sync()
    else:
        running = s3_outputs.sidecar("--native")
        running.signal(signal.SIGTERM)
        again = running.finish()
    assert again.code == 0
    assert s3_outputs.place.contents("out/") == {f"out/{n}": s for n, s in SIZES.items()}
    assert again.report["files"] == len(SIZES) - len(there)
