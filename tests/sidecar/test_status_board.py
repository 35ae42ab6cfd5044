"""The backlog that is looked at while something waits, and the line that says when it is large."""

import json

import pytest
from servers.faults import Slow, is_put
from serving import Served
from waiting import eventually

from lighterman.stores import open_store
from lighterman.transfer.settings import TransferSettings
from sidecar.status.board import LOOK_SECONDS

KIB = 1 << 10


@pytest.fixture
def slow(tmp_path, s3_bucket, proxy_to):
    """A sidecar behind a line of 400 KiB/s at first, and the proxy that makes it so."""
    proxy = proxy_to(s3_bucket.endpoint)
    connection = s3_bucket._replace(endpoint=proxy.url).connection()
    store = open_store(connection, {}, TransferSettings(), concurrency=8)
    served = Served(tmp_path, store, grace_seconds=4.0, workers=1)
    eventually(lambda: served.ask("/readyz").status == 200)
    proxy.on(is_put, Slow(400 * KIB), times=None)
    yield served, proxy
    proxy.forget()
    assert served.stop() == []
    store.close()


def events(said, name):
    return [line for line in map(json.loads, said.getvalue().splitlines()) if line["event"] == name]


def test_a_backlog_past_half_of_the_grace_is_said_once_until_it_is_small_again(said, slow):
    """During the run, whether or not anybody asks: with its size, the rate and the time it needs."""
    served, proxy = slow
    served.write("first", b"x" * 200 * KIB)
    eventually(lambda: served.told()["sent_files"] == 1)
    # So slow that none of them has arrived when they are looked at, however slow the machine is.
    proxy.forget()
    proxy.on(is_put, Slow(20 * KIB), times=None)
    for number in range(20):
        served.write(f"f{number}", b"x" * 200 * KIB)
    eventually(lambda: len(served.service._settle) > 10)
    served.leap(LOOK_SECONDS + 1)
    eventually(lambda: events(said, "sidecar.backlog_large"))
    served.leap(LOOK_SECONDS + 1)
    told = events(said, "sidecar.backlog_large")
    assert len(told) == 1
    assert told[0]["needed_seconds"] > told[0]["grace_seconds"] / 2
    assert told[0]["backlog_bytes"] >= 200 * KIB * 10
    assert told[0]["rate_bytes_per_second"] > 0
    assert "--grace" in told[0]["hint"]
    proxy.forget()
    eventually(lambda: served.told()["backlog"]["files"] == 0)
    assert len(events(said, "sidecar.backlog_large")) == 1


def test_while_nothing_waits_nothing_is_looked_at(served_volume):
    """No timer ticks; while something does, one does."""
    board = served_volume.service.board
    eventually(lambda: board.due is None)
    served_volume.write("a.tmp")
    eventually(lambda: board.due is not None)
    (served_volume.root / "a.tmp").unlink()
    eventually(lambda: board.due is None)


def test_of_a_large_backlog_a_sample_is_looked_at(served_volume, monkeypatch):
    """Sizes of so many files are taken to be those of all; the page and the metrics say it is an estimate."""
    monkeypatch.setattr("sidecar.status.board.MOST_LOOKED_AT", 50)
    for number in range(200):
        served_volume.write(f"f{number}.tmp", b"x" * 1000)
    eventually(lambda: served_volume.told()["backlog"]["files"] == 200)
    backlog = served_volume.told()["backlog"]
    assert (backlog["bytes"], backlog["is_estimate"]) == (200_000, True)
    assert backlog["reasons"]["temporary"] == 200
    assert len(served_volume.told()["waiting"]) == 50


@pytest.fixture
def served_volume(tmp_path, volume_store):
    served = Served(tmp_path, volume_store)
    eventually(lambda: served.ask("/readyz").status == 200)
    yield served
    assert served.stop() == []
