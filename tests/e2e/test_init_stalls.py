"""A stalled transfer is cut and retried, never waited for; one that is slow is seen to go on."""

import os

import places
import pytest
from program import Program
from pulls import MIB, Pull
from servers.faults import Slow, Stall, StallBody, is_get

LARGE = os.urandom(12 * MIB)
SMALL = {f"d/{number}": b"%d" % number * 5000 for number in range(8)}


@pytest.fixture
def over(bucket, proxy_to, tmp_path):
    """Init over each cloud, through a proxy."""
    for key, body in {"large": LARGE, **SMALL}.items():
        bucket.put(key, body)
    proxy = proxy_to(getattr(bucket, "endpoint", None) or bucket.server.endpoint)
    environ = {
        "LIGHTERMAN_CATALOG": str(places.catalog(places.through(bucket, proxy.url), tmp_path))
    }
    program = Program(tmp_path, environ, places.secrets_of(bucket))

    def pull(*flags):
        return program.run(
            "init", "--connection", "bucket", "--to", tmp_path / "dest", "--file", "large",
            *("--dir", "d", "--stall-timeout", "1"), *flags,
        )  # fmt: skip

    return pull, proxy, tmp_path / "dest"


@pytest.mark.parametrize("fault", [Stall(), StallBody(20)], ids=["no answer", "half an answer"])
def test_a_store_that_falls_silent_anywhere_is_asked_again(over, fault):
    """At the login, the look, the listing, and at any object: cut after `--stall-timeout`."""
    pull, proxy, dest = over
    for skip in range(0, 12, 2):
        proxy.on(lambda _: True, fault, skip=skip)
    finished = pull()
    assert finished.code == 0, finished.stderr
    assert (dest / "large").read_bytes() == LARGE
    assert {key: (dest / key).read_bytes() for key in SMALL} == SMALL


def test_a_store_that_stays_silent_ends_with_75(over):
    """Retried until the deadline, and nothing is half-placed."""
    pull, proxy, dest = over
    proxy.on(lambda _: True, Stall(), times=None)
    finished = pull("--retry-for", "2")
    assert (finished.code, finished.report["error"]["kind"]) == (75, "transient")
    assert not dest.exists()


@pytest.fixture
def slow_pull(s3_bucket, proxy_to, moto_endpoint, tmp_path):
    """Init of one object of 4 MiB over a link of 256 KiB a second."""
    s3_bucket.put("large", LARGE[: 4 * MIB])
    proxy = proxy_to(moto_endpoint)
    proxy.on(is_get, Slow(256 * 1024), times=None)
    return Pull(s3_bucket, tmp_path, proxy.url)


def test_progress_over_a_slow_link(slow_pull):
    """A line every 10 s with done and total bytes, rate and ETA; being slow is no stall."""
    running = slow_pull.start("--stall-timeout", "3")
    line = running.wait_for_event("init.progress")
    assert line["planned_bytes"] == 4 * MIB
    assert 0 < line["done_bytes"] < 4 * MIB
    assert line["rate_bytes_per_second"] > 0
    assert line["eta_seconds"] > 0
    finished = running.finish()
    assert (finished.code, finished.report["retries"]) == (0, 0)
    assert finished.report["bytes"] == 4 * MIB
    assert slow_pull.files() == {"large": LARGE[: 4 * MIB]}
