"""A second SIGTERM means now, whatever is under way; without one, the deadline does."""

import signal
import subprocess
import time

import pytest
from kills import make_sparse
from outputs_place import Outputs, eventually
from servers.faults import Stall, StallBody, is_listing, is_part, is_put

MIB = 1024 * 1024


@pytest.fixture
def stalled(s3_bucket, program_over, proxy_to, tmp_path):
    """Outputs that go to a bucket behind a proxy."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    outputs.proxy = proxy
    return outputs


@pytest.mark.parametrize("how", ["now", "deadline"])
@pytest.mark.parametrize(
    ("where", "matches", "fault"),
    [
        ("start", is_listing, Stall()),
        ("start", is_listing, StallBody(20)),
        ("file", is_put, Stall()),
        ("part", is_part, Stall()),
        ("last listing", is_listing, Stall()),
        ("last listing", is_listing, StallBody(20)),
    ],
    ids=["start", "half of the start", "file", "part", "last listing", "half of the last listing"],
)
def test_it_never_hangs(stalled, where, matches, fault, how):
    """A request that stalls is waited for no longer than is said: 75, and a report."""
    flags = stalled.flags("--native", "--grace", "600" if how == "now" else "2")
    if where != "start":
        running = stalled.sidecar(*flags[6:], "--settle", "60")
    stalled.write("a")
    if where == "part":
        make_sparse(stalled.path / "large", 24 * MIB)
    stalled.proxy.forget()
    stalled.proxy.on(matches, fault, times=None)
    if where == "start":
        running = stalled.program.start("sidecar", *flags)
        stalled.proxy.wait_for(matches)
        running.signal(signal.SIGTERM)
    else:
        running.signal(signal.SIGTERM)
        stalled.proxy.wait_for(matches)
    if how == "now":
        began = time.monotonic()
        eventually(lambda: time.monotonic() - began > 0.3)  # else it is the same signal
        running.signal(signal.SIGTERM)
    ended = running.finish(seconds=60)
    assert (ended.code, ended.report["error"]["kind"]) == (75, "deadline")


def has_ended(process, seconds):
    """Within so much time."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_signals_at_the_very_end_make_no_failure_of_it(outputs):
    """Everything is in the bucket: however many more come until the process is gone, it ends with 0."""
    running = outputs.sidecar("--native", "--grace", "30")
    outputs.write("a")
    running.signal(signal.SIGTERM)
    running.wait_for_event("sidecar.drained")
    while not has_ended(running.process, 0.002):
        running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0, ended.stderr[-3000:]
    assert ended.report["status"] == "done"
