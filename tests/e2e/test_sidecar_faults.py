"""Trouble between the sidecar and its store: nothing lost, nothing torn, no busy loop, memory bounded."""

import os
import random
import signal

import places
import pytest
from kills import make_sparse
from outputs_place import Outputs, eventually
from program import Program
from servers.faults import Cut, Reset, Stall, is_listing, is_put, s3_error, slow_down

MIB = 1024 * 1024
SHARE = 0.3
"""Of all requests."""
FILES = 40
LARGE_BYTES = 24 * MIB
MOST_RSS_BYTES = 144 * MIB
MOST_CPU_SECONDS = 12.0
"""Imports, a hundred requests and their retries take three; a busy loop takes all the time there is."""
FAULTS = {
    "503": [slow_down()],
    "429": [slow_down(429)],
    "500": [s3_error(500, "InternalError")],
    "resets": [Reset(), Reset(1000)],
    "cut answers": [Cut(10)],
    "stalls": [Stall()],
}


def cpu_seconds(running):
    """What the process has used so far, of all cores."""
    with open(f"/proc/{running.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Some:
    """Matches a share of all requests, and counts them; a failure shows the seed."""

    def __init__(self, share):
        self._share = share
        seed = random.randrange(2**32)
        print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
        self._chance = random.Random(seed)
        self.count = 0

    def __call__(self, _request):
        is_one = self._chance.random() < self._share
        self.count += is_one
        return is_one


@pytest.fixture
def behind(proxy_to, tmp_path):
    """Outputs that go to a place behind a proxy."""

    def make(place):
        proxy = proxy_to("/".join(place.endpoint.split("/")[:3]))
        catalog = places.catalog(places.through(place, proxy.url), tmp_path)
        program = Program(tmp_path, {"LIGHTERMAN_CATALOG": str(catalog)}, places.secrets_of(place))
        outputs = Outputs(program, place, tmp_path / "outputs")
        outputs.proxy = proxy
        return outputs

    return make


def write_all(outputs):
    for number in range(FILES):
        outputs.write(f"d{number % 4}/f{number}", f"{number}" * (number * 300))
    make_sparse(outputs.path / "large", LARGE_BYTES)


def assert_all_are_there(outputs):
    files = [path for path in outputs.path.rglob("*") if path.is_file()]
    mine = {path for path in files if ".lighterman" not in path.parts}
    assert outputs.place.contents("out/") == {
        f"out/{path.relative_to(outputs.path)}": path.stat().st_size for path in sorted(mine)
    }
    for path in mine:
        assert outputs.place.get(f"out/{path.relative_to(outputs.path)}") == path.read_bytes()


def sync_through(outputs, faults):
    """A sidecar's whole life with these faults in the way of a third of all requests."""
    flags = ("--native", "--settle", "0.2", "--memory", "32MiB", "--stall-timeout", "1")
    flags = (*flags, "--grace", "90")
    running = outputs.program.start("sidecar", *outputs.flags(*flags, "--retry-for", "60"))
    running.wait_for_event("sidecar.reconciled")
    spoiled = [Some(SHARE / len(faults)) for _ in faults]
    for some, fault in zip(spoiled, faults, strict=True):
        outputs.proxy.on(some, fault, times=None)
    write_all(outputs)
    eventually(lambda: len(outputs.names()) == FILES + 1, seconds=100)
    assert cpu_seconds(running) < MOST_CPU_SECONDS
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0, ended.stderr[-5000:]
    assert ended.report["files"] == FILES + 1
    assert "failed" not in ended.report
    assert sum(some.count for some in spoiled) > FILES * SHARE / 2
    assert ended.peak_rss_bytes < MOST_RSS_BYTES
    assert_all_are_there(outputs)


@pytest.mark.parametrize("kind", FAULTS)
def test_trouble_with_every_third_request_loses_nothing(s3_bucket, behind, kind):
    """Each fault by itself; the drain too goes through it, and its listing."""
    sync_through(behind(s3_bucket), FAULTS[kind])


def test_all_kinds_of_trouble_at_once(bucket, behind):
    """Over each cloud."""
    sync_through(behind(bucket), [fault for kind in FAULTS.values() for fault in kind])


def test_a_store_that_is_gone_for_a_while(s3_bucket, behind):
    """It waits, longer each time, and brings everything once the store is back."""
    outputs = behind(s3_bucket)
    running = outputs.sidecar("--native", "--settle", "0.2")
    outputs.proxy.on(lambda _: True, Reset(), times=None)
    before = cpu_seconds(running)
    write_all(outputs)
    running.wait_for_event("transfer.retry", count=60)
    assert outputs.names() == []
    assert cpu_seconds(running) - before < 4
    outputs.proxy.forget()
    eventually(lambda: len(outputs.names()) == FILES + 1, seconds=60)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, "failed" in ended.report) == (0, False)
    assert_all_are_there(outputs)


def test_a_store_that_is_gone_longer_than_is_retried(s3_bucket, behind):
    """Each file goes on by itself after ``--retry-for``: nothing is given up while main runs."""
    outputs = behind(s3_bucket)
    running = outputs.sidecar("--native", "--settle", "0.2", "--retry-for", "1")
    outputs.proxy.on(is_put, Reset(), times=None)
    outputs.write("a")
    running.wait_for_event("sidecar.file_failed", count=2)
    outputs.proxy.forget()
    outputs.wait_for("a")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, "failed" in ended.report) == (0, False)


def test_a_store_that_is_gone_at_the_start_is_waited_for(s3_bucket, behind):
    """What main writes meanwhile is found by the first walk."""
    outputs = behind(s3_bucket)
    outputs.proxy.on(is_listing, Reset(), times=None)
    running = outputs.program.start("sidecar", *outputs.flags("--native", "--settle", "0.2"))
    running.wait_for_event("transfer.retry", count=2)
    outputs.write("a")
    outputs.proxy.forget()
    outputs.wait_for("a")
    running.signal(signal.SIGTERM)
    assert running.finish().code == 0


REVOKED = s3_error(403, "InvalidAccessKeyId")


def test_credentials_that_are_revoked_and_given_back(s3_bucket, behind):
    """No file is given up, none is hammered: each is tried again, later each time."""
    outputs = behind(s3_bucket)
    running = outputs.sidecar("--native", "--settle", "0.2")
    outputs.proxy.on(lambda _: True, REVOKED, times=None)
    for number in range(5):
        outputs.write(f"f{number}")
    failure = running.wait_for_event("sidecar.file_failed", count=10)
    assert failure["kind"] == "credentials"
    assert len(outputs.proxy.seen(is_put)) < 100
    outputs.proxy.forget()
    eventually(lambda: len(outputs.names()) == 5)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert (ended.code, "failed" in ended.report) == (0, False)


def test_credentials_that_are_revoked_at_the_end_leave_it_to_the_next_start(s3_bucket, behind):
    """77 before the grace is over: waiting for them would cost the report."""
    outputs = behind(s3_bucket)
    running = outputs.sidecar("--native", "--settle", "60", "--grace", "600")
    outputs.proxy.on(lambda _: True, REVOKED, times=None)
    for number in range(5):
        outputs.write(f"f{number}")
    running.signal(signal.SIGTERM)
    ended = running.finish(seconds=60)
    assert (ended.code, ended.report["failed"]["count"]) == (77, 5)
    outputs.proxy.forget()
    assert (outputs.sync().code, len(outputs.names())) == (0, 5)
