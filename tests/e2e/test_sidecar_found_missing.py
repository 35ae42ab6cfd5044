"""What a sidecar says of the outputs when its time was over, or when they were cleared away."""

import shutil
import signal

import pytest
from outputs_place import Outputs
from servers.faults import Delay, is_put


@pytest.fixture
def slow(s3_bucket, program_over, proxy_to, tmp_path):
    """Outputs that go to a bucket behind a proxy."""
    proxy = proxy_to(s3_bucket.endpoint)
    program = program_over(s3_bucket._replace(endpoint=proxy.url))
    outputs = Outputs(program, s3_bucket, tmp_path / "outputs")
    outputs.proxy = proxy
    return outputs


def test_what_reached_the_bucket_during_the_drain_is_not_called_missing(slow):
    """At the deadline it names what is missing, and nothing else."""
    running = slow.sidecar("--settle", "60", "--native", "--grace", "3", "--workers", "4")
    slow.proxy.on(is_put, Delay(1.0), times=None)
    for number in range(40):
        slow.write(f"f{number:02}", "text")
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=30)
    sent = len(slow.names())
    assert 4 <= sent < 40
    # A request that is under way at the deadline may still land.
    assert 40 - sent <= ended.report["failed"]["count"] <= 40 - ended.report["files"]
    assert f"{ended.report['failed']['count']} outputs not in" in ended.report["error"]["message"]


def test_a_job_that_clears_its_outputs_loses_nothing(outputs):
    """The default state directory goes with them: it is made again, and the end is checked all the same."""
    running = outputs.sidecar("--settle", "0.2", "--native")
    outputs.write("before")
    outputs.wait_for("before")
    for entry in outputs.path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    outputs.write("after")
    outputs.wait_for("after")
    running.signal(signal.SIGTERM)
    assert (running.finish().code, outputs.names()) == (0, ["after", "before"])
    assert (outputs.sync().code, outputs.names()) == (0, ["after", "before"])
