"""`--bwlimit RATE` of the commands that carry: what is asked of the store, and that it is waited for."""

import os

import pytest
from pulls import MIB, Pull, gets
from servers.faults import is_put


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


def test_init_asks_for_half_a_second_of_the_limit_at_once(pull, proxy):
    """No request is for more than that, and the bytes are all there; the last waited for its turn."""
    content = os.urandom(5 * MIB)
    pull.bucket.put("model", content)
    finished = pull.run("--bwlimit", "8M")
    assert (finished.code, pull.files()) == (0, {"model": content})
    assert sorted(request.answer_bytes for request in gets(proxy)) == [MIB, 4 * MIB]
    assert finished.report["seconds"] >= 1 / 8


def test_the_limit_comes_from_the_environment_too(pull, proxy):
    """Every flag is a variable: `LIGHTERMAN_BWLIMIT`."""
    pull.bucket.put("model", bytes(3 * MIB))
    assert pull.run(environ={"LIGHTERMAN_BWLIMIT": "4MiB/s"}).code == 0
    assert sorted(request.answer_bytes for request in gets(proxy)) == [MIB, 2 * MIB]


def test_a_sync_keeps_to_the_limit(s3_outputs):
    """Sixteen files in all take what one of their size would: never less than the rate allows."""
    for number in range(16):
        s3_outputs.write(f"{number}", "x" * 65_536)
    finished = s3_outputs.sync("--bwlimit", "1M")
    assert (finished.code, finished.report["files"]) == (0, 16)
    assert finished.report["seconds"] >= 0.5  # 1 MiB, less the half second that may go at once


def test_a_limit_without_a_unit_is_a_slip_of_the_pen(pull, proxy):
    """64, before anything is asked."""
    finished = pull.run("--bwlimit", "50")
    assert finished.code == 64
    assert "write a unit" in finished.report["error"]["message"]
    assert proxy.seen(is_put) == gets(proxy) == []
