"""`cache: DIR`: what one pod of a node fetched, the others copy; and whatever is wrong with it, the job goes on."""

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from pulls import MIB, Pull, gets
from servers.faults import is_get

SMALL_FILES = 120


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pods(s3_bucket, tmp_path, proxy):
    """Inits of one bucket on one node, each with a destination of its own."""
    made = []

    def make():
        directory = tmp_path / f"pod-{len(made)}"
        directory.mkdir()
        made.append(Pull(s3_bucket, directory, proxy.url))
        return made[-1]

    return make


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "node" / "cache"


def entries(cache):
    return [path for path in cache.glob("uid-*/??/*") if not path.name.startswith(".")]


def held_bytes(cache):
    return sum(path.stat().st_size for path in cache.glob("uid-*/??/*"))


def content_of(bucket, files=SMALL_FILES, large_bytes=20 * MIB + 5):
    """Small files and a large one, by their keys."""
    draw = random.Random(7)
    content = {f"d{n % 5}/{n:03}": draw.randbytes(draw.randrange(30_000)) for n in range(files)}
    if large_bytes:
        content["model.bin"] = draw.randbytes(large_bytes)
    for key, data in content.items():
        bucket.put(key, data)
    return content


def fetched_bytes(proxy):
    return sum(request.answer_bytes for request in gets(proxy))


def test_the_second_pod_asks_for_no_byte(s3_bucket, pods, proxy, cache):
    """Its files are the same, counted in `cached`, and verified as they were."""
    content = content_of(s3_bucket)
    first, second = pods(), pods()
    finished = first.run("--cache", cache)
    assert (finished.code, finished.report.get("cached", 0)) == (0, 0)
    proxy.forget()
    finished = second.run("--cache", cache)
    assert finished.code == 0
    assert finished.report["cached"] == finished.report["files"] == len(content)
    assert finished.report["bytes"] == sum(map(len, content.values()))
    assert finished.event("init.done")["cached_files"] == len(content)
    assert "unverified" not in finished.report
    assert gets(proxy) == []
    assert first.files() == second.files() == content
    assert second.temporaries() == []
    assert second.run("--cache", cache).report["skipped"] == len(content)


def test_modes_and_mtimes_come_out_of_the_cache_too(s3_bucket, pods, proxy, cache):
    """At no request, as they came with the bytes; a file without them looks as when it is fetched."""
    s3_bucket.put("script", b"#!/bin/sh", Metadata={"mode": "100750", "mtime": "1234567890.5"})
    s3_bucket.put("plain", b"x")
    told = []
    for pod in (pods(), pods()):
        assert pod.run("--cache", cache).code == 0
        looks = [(pod.dest / name).stat() for name in ("script", "plain")]
        told.append([(look.st_mode, look.st_mtime_ns) for look in looks])
    assert len(gets(proxy)) == 2
    assert told[0] == told[1]
    assert told[1][0] == (0o100750, 1_234_567_890_500_000_000)


def test_an_object_without_a_checksum_stays_unverified(s3_bucket, pods, cache):
    """What no store vouched for isn't vouched for by the cache."""
    upload = s3_bucket.client().create_multipart_upload(Bucket=s3_bucket.name, Key="parts")
    how = {"Bucket": s3_bucket.name, "Key": "parts", "UploadId": upload["UploadId"]}
    part = s3_bucket.client().upload_part(**how, PartNumber=1, Body=b"p" * MIB)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3_bucket.client().complete_multipart_upload(**how, MultipartUpload=parts)
    for pod in (pods(), pods()):
        finished = pod.run("--cache", cache)
        assert (finished.code, finished.report["unverified"]) == (0, 1)
    assert finished.report["cached"] == 1


def test_an_object_that_was_replaced_is_another_entry(s3_bucket, pods, proxy, cache):
    """By its ETag; the old version's entry stays for who still wants it."""
    s3_bucket.put("a", b"old")
    s3_bucket.put("b", b"b")
    assert pods().run("--cache", cache).code == 0
    s3_bucket.put("a", b"new")
    proxy.forget()
    pod = pods()
    assert pod.run("--cache", cache).report["cached"] == 1
    assert pod.files() == {"a": b"new", "b": b"b"}
    assert len(gets(proxy)) == 1
    assert len(entries(cache)) == 3


def test_eight_pods_at_once_fetch_one_copy(s3_bucket, pods, proxy, cache):
    """Each file is fetched by one of them, and copied by the others."""
    content = content_of(s3_bucket)
    at_once = [pods() for _ in range(8)]
    running = [pod.start("--cache", cache) for pod in at_once]
    finished = [one.finish() for one in running]
    assert [one.code for one in finished] == [0] * 8
    assert all(pod.files() == content for pod in at_once)
    size_bytes = sum(map(len, content.values()))
    assert size_bytes <= fetched_bytes(proxy) <= 1.1 * size_bytes
    assert sum(one.report.get("cached", 0) for one in finished) >= 6.9 * len(content)


def test_killed_at_random_moments_of_filling(s3_bucket, pods, proxy, cache):
    """Whatever is in the cache then is whole: no pod ever gets a wrong byte of it."""
    content = content_of(s3_bucket, large_bytes=10 * MIB)
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    draw = random.Random(seed)
    for _ in range(6):
        proxy.forget()
        running = pods().start("--cache", cache, "--workers", "4")
        left = len(content) - len(entries(cache)) + 2  # the large one is two ranges
        proxy.wait_for(is_get, draw.randint(1, max(1, left // 4)))
        assert running.kill().code == -signal.SIGKILL
        proxy.wait_until_left()
    cached = len(entries(cache))
    assert 0 < cached
    last = pods()
    finished = last.run("--cache", cache)
    assert (finished.code, last.files()) == (0, content)
    assert finished.report["cached"] == cached
    assert "init.cache_entry_dropped" not in finished.stderr


def test_what_does_not_fit_is_evicted_while_others_read(s3_bucket, pods, cache):
    """Four pods over a cache a quarter as large as the bucket: right in each, and the limit holds."""
    content = content_of(s3_bucket, files=80, large_bytes=0)
    limit = sum(map(len, content.values())) // 4
    for _ in range(2):
        at_once = [pods() for _ in range(4)]
        running = [pod.start("--cache", cache, "--cache-size", str(limit)) for pod in at_once]
        assert [one.finish().code for one in running] == [0] * 4
        assert all(pod.files() == content for pod in at_once)
        assert limit / 4 < held_bytes(cache) <= limit


def test_a_poisoned_entry_costs_a_fetch(s3_bucket, pods, proxy, cache):
    """Bytes that aren't those that were kept: said, dropped, fetched, and kept anew."""
    content = content_of(s3_bucket, files=5)
    assert pods().run("--cache", cache).code == 0
    for path in entries(cache):
        path.chmod(0o644)
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 255]))
    proxy.forget()
    second, third = pods(), pods()
    finished = second.run("--cache", cache)
    assert (finished.code, second.files()) == (0, content)
    dropped = [one for one in finished.events if one["event"] == "init.cache_entry_dropped"]
    assert len(dropped) == len(content)
    assert fetched_bytes(proxy) == sum(map(len, content.values()))
    assert third.run("--cache", cache).report["cached"] == len(content)
    assert third.files() == content


def test_a_job_spec_says_it_for_its_entry(s3_bucket, pods, proxy, cache, tmp_path):
    """`cache: DIR`, or with a size; `--cache` is for entries that say nothing."""
    s3_bucket.put("a", b"a")
    pod = pods()
    entry = {"connection": pod.uri, "cache": {"path": str(cache), "size": "1MiB"}}
    finished = []
    for number in range(2):
        spec = tmp_path / f"{number}.json"
        where = {"path": str(tmp_path / f"spec-{number}")}
        spec.write_text(json.dumps({"init": [entry | where]}))
        finished.append(pod.program.run("init", "--spec", spec, "--cache", tmp_path / "other"))
    assert [one.report.get("cached", 0) for one in finished] == [0, 1]
    assert finished[0].event("init.cache")["limit_bytes"] == MIB
    assert len(gets(proxy)) == 1
    assert not (tmp_path / "other").exists()


def test_a_cache_that_is_no_directory_is_done_without(s3_bucket, pods, tmp_path):
    """An optimisation that can't be had: a warning with the mend, exit 0."""
    s3_bucket.put("a", b"a")
    (tmp_path / "file").write_text("x")
    pod = pods()
    finished = pod.run("--cache", tmp_path / "file")
    assert (finished.code, pod.files()) == (0, {"a": b"a"})
    line = finished.event("init.cache_not_used")
    assert (line["level"], line["reason"]) == ("warning", "it is no directory")


@pytest.mark.parametrize("below", [".", "sub/cache", ".."])
def test_a_cache_in_a_destination_is_refused(s3_bucket, pods, below):
    """78: a bucket's keys could write its entries."""
    s3_bucket.put("a", b"a")
    pod = pods()
    finished = pod.run("--cache", pod.dest / below)
    assert finished.code == 78
    assert "one inside the other" in finished.report["error"]["message"]
    assert not pod.dest.exists()


@pytest.mark.parametrize(
    ("caches", "said"),
    [
        (["/a", "/b"], "two caches are declared"),
        ([{"path": "/a", "size": 5}, "/a"], "two caches are declared"),
    ],
)
def test_two_caches_of_one_connection_are_refused(pods, tmp_path, caches, said):
    """78: an object of both entries would be in neither's word."""
    pod = pods()
    spec = tmp_path / "job.json"
    init = [
        {"connection": pod.uri, "path": str(tmp_path / f"{number}"), "cache": cache}
        for number, cache in enumerate(caches)
    ]
    spec.write_text(json.dumps({"init": init}))
    finished = pod.program.run("init", "--spec", spec)
    assert finished.code == 78
    assert said in finished.report["error"]["message"]


def test_a_volumes_files_are_not_cached(pods, cache, tmp_path):
    """They are on the node, or as near as the cache is."""
    source = tmp_path / "volume"
    source.mkdir()
    (source / "a").write_bytes(b"a")
    finished = pods().program.run(
        "init", "--connection", f"file://{source}", "--to", tmp_path / "out", "--cache", cache
    )
    assert (finished.code, (tmp_path / "out" / "a").read_bytes()) == (0, b"a")
    assert not cache.exists()


# On mounts of their own, where this may make them.

MOUNTED = ("unshare", "--mount", "sh", "-c")
SMALL = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def _may_mount():
    done = subprocess.run([*MOUNTED, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return done.returncode == 0


if os.getuid() == 0 and _may_mount():

    def test_a_full_cache_fails_nothing(s3_bucket, pods, cache):
        """What finds no space there goes on without; it is said once."""
        content = content_of(s3_bucket, files=60, large_bytes=3 * MIB)
        cache.mkdir(parents=True)
        pod = pods()
        through = (*MOUNTED, SMALL, str(cache))
        finished = pod.run("--cache", cache, "--cache-size", "1G", through=through)
        assert (finished.code, pod.files()) == (0, content)
        said = [one for one in finished.events if one["event"] == "init.cache_not_filled"]
        assert [one["reason"] for one in said] == ["its filesystem has no space to spare"]

    def test_a_read_only_cache_is_used_and_left_as_it_is(s3_bucket, pods, proxy, cache):
        """Hits are copied, the rest is fetched; nothing in it changes, not even a time."""
        content = content_of(s3_bucket, files=10, large_bytes=0)
        assert pods().run("--cache", cache).code == 0
        s3_bucket.put("more", b"more")
        before = {path: path.stat() for path in Path(cache).rglob("*")}
        proxy.forget()
        pod = pods()
        finished = pod.run("--cache", cache, through=(*MOUNTED, READ_ONLY, str(cache)))
        assert (finished.code, pod.files()) == (0, content | {"more": b"more"})
        assert (finished.report["cached"], len(gets(proxy))) == (10, 1)
        after = {path: path.stat() for path in Path(cache).rglob("*")}
        assert {path: look.st_mtime_ns for path, look in before.items()} == {
            path: look.st_mtime_ns for path, look in after.items()
        }
        assert "warning" not in {one["level"] for one in finished.events}
