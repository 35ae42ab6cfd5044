"""What goes wrong on the way: nothing torn, nothing half-placed, and a way on."""

import os
import signal

import pytest
from outputs_place import eventually
from pulls import MIB, Pull, gets
from servers.faults import (
    Answer,
    Call,
    Cut,
    Stall,
    StallBody,
    Without,
    is_get,
    is_listing,
    slow_down,
)


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Spoils what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a fresh bucket, through the proxy."""
    return Pull(s3_bucket, tmp_path, proxy.url)


def of(key):
    """GETs of one object."""
    return lambda request: is_get(request) and request.path.endswith(f"/{key}")


def is_head(request):
    return request.method == "HEAD"


@pytest.mark.parametrize("size", [3 * MIB, 30 * MIB], ids=["small", "large"])
@pytest.mark.parametrize("is_shorter", [False, True])
def test_an_object_replaced_while_it_is_read_is_never_mixed(pull, proxy, size, is_shorter):
    """An object replaced meanwhile is fetched again, whole."""
    pull.bucket.put("model", b"1" * size)
    newer = b"2" * (size // 2 if is_shorter else size)
    proxy.on(of("model"), Call(lambda _: pull.bucket.put("model", newer)), skip=size // (20 * MIB))
    finished = pull.run()
    assert finished.code == 0
    assert pull.files() == {"model": newer}
    assert finished.event("init.source_changed")["key"] == "model"
    assert pull.temporaries() == []


@pytest.mark.parametrize("limit", [(), ("--bwlimit", "1GiB")], ids=["straight", "by the engine"])
@pytest.mark.parametrize("size", [2000, 30 * MIB], ids=["small", "large"])
def test_a_store_that_ignores_the_pin_gives_no_mixed_file(pull, proxy, size, limit):
    """Each read is pinned to the ETag that the listing saw, also where the store doesn't look at If-Match."""
    pull.bucket.put_by_parts("model", b"1" * size)
    newer = b"2" * size
    proxy.on(is_get, Without("if-match"), times=None)
    proxy.on(
        of("model"),
        Call(lambda _: pull.bucket.put_by_parts("model", newer)),
        skip=size // (20 * MIB),
    )
    finished = pull.run(*limit)
    assert finished.code == 0
    assert pull.files() == {"model": newer}
    assert finished.event("init.source_changed")["key"] == "model"
    assert pull.temporaries() == []


@pytest.mark.parametrize("size", [MIB, 20 * MIB], ids=["small", "large"])
def test_an_object_that_never_rests_ends_with_75(pull, proxy, size):
    """Bounded: an object that changes at every look isn't waited for for ever."""
    versions = iter(range(1000))
    pull.bucket.put("model", bytes(size))
    proxy.on(
        of("model"),
        Call(lambda _: pull.bucket.put("model", b"%03d" % next(versions) + bytes(size))),
        times=None,
    )
    finished = pull.run()
    assert (finished.code, finished.report["error"]["kind"]) == (75, "source_changed")
    assert pull.files() == {}


def test_an_object_deleted_while_it_is_read_is_missing(pull, proxy):
    """Its name is said, and nothing is placed."""
    pull.bucket.put("model", b"1" * MIB)
    proxy.on(of("model"), Call(lambda _: pull.bucket.delete("model")))
    finished = pull.run()
    assert finished.code == 66
    assert "model" in finished.report["error"]["message"]
    assert (pull.files(), pull.temporaries()) == ({}, [])


@pytest.mark.parametrize(
    ("fault", "matches"),
    [
        (slow_down(), is_get),
        (slow_down(), is_listing),
        (slow_down(500), is_get),
        (Cut(100_000), of("large")),
        (Cut(10), of("small")),
        (Cut(100), is_listing),
    ],
    ids=["slow", "slow listing", "500", "cut large", "cut small", "cut listing"],
)
def test_transient_trouble_is_retried(pull, proxy, fault, matches):
    """Transient trouble is retried inside the process up to a deadline; the bytes are right."""
    large = os.urandom(20 * MIB)
    pull.bucket.put("large", large)
    pull.bucket.put("small", b"s" * 5000)
    proxy.on(matches, fault, times=4)
    finished = pull.run()
    assert finished.code == 0
    assert pull.files() == {"large": large, "small": b"s" * 5000}


def test_a_store_that_stays_down_ends_with_75(pull, proxy):
    """At the deadline the last error is told, and nothing is half-placed."""
    for number in range(30):
        pull.bucket.put(f"x{number}", b"1")
    proxy.on(is_get, slow_down(), times=None)
    finished = pull.run("--retry-for", "1")
    assert (finished.code, finished.report["error"]["kind"]) == (75, "slow_down")
    assert (pull.files(), pull.temporaries()) == ({}, [])


def test_a_stalled_transfer_is_cut_and_retried(pull, proxy):
    """A stalled transfer (`--stall-timeout`) is cut and retried, never waited for."""
    body = os.urandom(10 * MIB)
    pull.bucket.put("large", body)
    proxy.on(is_get, StallBody(1000), times=2)
    finished = pull.run("--stall-timeout", "1")
    assert finished.code == 0
    assert pull.files() == {"large": body}


def test_bytes_that_fail_their_checksum_are_fetched_once_more(pull, proxy, spoil):
    """Then they are right, and it is no error."""
    pull.bucket.put("x", b"good")
    spoil("x", b"good", times=1)
    finished = pull.run()
    assert (finished.code, pull.files()) == (0, {"x": b"good"})
    assert finished.report.get("unverified", 0) == 0


@pytest.mark.parametrize("size", [4, 20 * MIB], ids=["small", "large"])
def test_bytes_that_fail_their_checksum_twice_are_refused(pull, spoil, size):
    """65, by name, and nothing under its final name."""
    pull.bucket.put("x", bytes(size))
    spoil("x", bytes(size), times=None)
    finished = pull.run()
    assert (finished.code, finished.report["error"]["kind"]) == (65, "untrusted_data")
    assert "'x'" in finished.report["error"]["message"]
    assert (pull.files(), pull.temporaries()) == ({}, [])


@pytest.fixture
def spoil(pull, proxy):
    """Lets an object's bytes come with one bit turned, as a broken cache would send them."""

    def set_up(key, body, times):
        spoiled = bytearray(body)
        spoiled[0] ^= 1
        etag = f'"{pull.bucket.head(key)["ETag"].strip(chr(34))}"'

        first = spoiled[: 8 * MIB]
        proxy.on(
            lambda request: (
                of(key)(request) and request.headers.get("range", "bytes=0-").startswith("bytes=0-")
            ),
            Answer(
                206,
                bytes(first),
                ETag=etag,
                Content_Range=f"bytes 0-{len(first) - 1}/{len(body)}",
                Last_Modified="Sat, 01 Nov 2025 00:00:00 GMT",
            ),
            times=times,
        )

    return set_up


def test_sigterm_ends_it_soon_with_75_and_nothing_half_placed(pull, proxy):
    """What came whole stays, and another start goes on from there."""
    for number in range(5):
        pull.bucket.put(f"a{number}", b"1")
    pull.bucket.put("b", b"2")
    proxy.on(of("b"), Stall(), times=None)
    running = pull.start("--workers", "1")
    proxy.wait_for(of("b"))
    running.signal(signal.SIGTERM)
    finished = running.finish(seconds=20)
    assert (finished.code, finished.report["error"]["kind"]) == (75, "deadline")
    assert sorted(pull.files()) == [f"a{number}" for number in range(5)]
    proxy.forget()
    again = pull.run()
    assert (again.code, again.report["skipped"]) == (0, 5)
    assert pull.files()["b"] == b"2"
    assert pull.temporaries() == []


def test_sigterm_during_the_look_leaves_nothing(pull, proxy):
    """Then the destination is as it was."""
    pull.bucket.put("a", b"1")
    proxy.on(is_head, Stall(), times=None)
    running = pull.start("--file", "a")
    proxy.wait_for(is_head)
    running.signal(signal.SIGTERM)
    assert running.finish(seconds=20).code == 75
    assert not pull.dest.exists() or pull.files() == {}


def test_a_killed_run_goes_on_where_it_was(pull, proxy):
    """Killed and started again on the same volume, it does only what is left."""
    for number in range(40):
        pull.bucket.put(f"d/{number:02}", b"%d" % number)
    proxy.on(of("d/30"), StallBody(1), times=None)
    running = pull.start("--workers", "1")
    running.wait_for_event("init.file_fetched", count=25)
    eventually(pull.temporaries)
    running.kill()
    assert len(pull.temporaries()) == 1
    proxy.forget()
    again = pull.run()
    assert again.code == 0
    assert pull.files() == {f"d/{number:02}": b"%d" % number for number in range(40)}
    assert pull.temporaries() == []
    assert again.report["skipped"] >= 1


def test_a_killed_run_s_leftovers_are_swept(pull, proxy):
    """Also of an object that is gone by now."""
    pull.bucket.put("gone", b"11")
    pull.bucket.put("stays", b"1")
    proxy.on(of("gone"), StallBody(1), times=None)
    running = pull.start()
    running.wait_for_event("init.file_fetched")
    eventually(lambda: len(pull.temporaries()) == 1)
    running.kill()
    assert len(pull.temporaries()) == 1
    pull.bucket.delete("gone")
    proxy.forget()
    assert pull.run().code == 0
    assert (sorted(pull.files()), pull.temporaries()) == (["stays"], [])


@pytest.mark.parametrize("is_replaced", [False, True])
def test_half_fetched_large_files_go_on(pull, proxy, is_replaced):
    """Whole files are recognised, half-fetched large files go on; one that was replaced begins anew."""
    body = os.urandom(40 * MIB)
    pull.bucket.put("large", body)

    def is_last_range(request):
        return is_get(request) and request.headers["range"].startswith(f"bytes={32 * MIB}-")

    proxy.on(is_last_range, slow_down(), times=None)
    finished = pull.run("--retry-for", "3")
    assert finished.code == 75
    assert pull.files() == {}
    assert len(pull.temporaries()) == 1
    proxy.forget()
    if is_replaced:
        body = os.urandom(40 * MIB)
        pull.bucket.put("large", body)
    again = pull.run()
    assert again.code == 0
    assert len(gets(proxy)) == (5 if is_replaced else 1)
    assert pull.files() == {"large": body}
    assert pull.temporaries() == []
    assert again.report["bytes"] == (40 * MIB if is_replaced else 8 * MIB)


def test_two_inits_on_one_destination_dont_mix(pull, proxy):
    """The second one ends with 75; the first one isn't disturbed."""
    pull.bucket.put("a", b"1")
    proxy.on(is_get, Stall(), times=1)
    first = pull.start("--stall-timeout", "5")
    proxy.wait_for(is_get)
    second = pull.run("--retry-for", "0")
    assert (second.code, "another init is at work" in second.report["error"]["message"]) == (
        75,
        True,
    )
    assert first.finish().code == 0
    assert pull.files() == {"a": b"1"}


def test_told_to_stop_among_the_last_files_it_is_not_done(pull, proxy):
    """75: files that were on their way aren't there."""
    for number in range(3):
        pull.bucket.put(f"{number}", b"1")
    proxy.on(is_get, Stall(), times=None)
    running = pull.start()
    proxy.wait_for(is_get, 3)
    running.signal(signal.SIGTERM)
    assert running.finish(seconds=20).code == 75
    assert (pull.files(), pull.temporaries()) == ({}, [])
    proxy.forget()
    assert pull.run().code == 0
    assert len(pull.files()) == 3


def test_one_worker_is_enough(pull):
    """Of files of every size, and more of each than may wait."""
    bodies = {f"{number:02}": b"1" * (number % 2 * 2 * MIB + 1) for number in range(40)}
    for key, body in bodies.items():
        pull.bucket.put(key, body)
    assert pull.run("--workers", "1").code == 0
    assert pull.files() == bodies
