"""SIGKILL at random moments of an upload, and a start on the same volume after each."""

import random
import signal
import sys
import time

import trees
from outputs_place import Outputs, eventually
from servers.faults import Delay, is_part

KILLS = 20
FILES = 400
LARGE_MIB = 120
PART_THREADS = 4


def test_killed_at_random_moments_the_bucket_is_the_tree_in_the_end(
    s3_bucket, program_over, proxy_to, tmp_path, capsys
):
    """Killed at any moment and started with the same journal, it goes on: nothing is lost or torn."""
    seed = random.randrange(1 << 32)
    with capsys.disabled():
        sys.stdout.write(f"\nseed of the kills: {seed}\n")
    chance = random.Random(seed)
    proxy = proxy_to(s3_bucket.endpoint)
    proxy.on(is_part, Delay(0.1), times=None)
    outputs = Outputs(
        program_over(s3_bucket._replace(endpoint=proxy.url)), s3_bucket, tmp_path / "outputs"
    )
    trees.make_tree(outputs.path, FILES, most_bytes=30_000)
    trees.make_large(outputs.path / "large.bin", LARGE_MIB * trees.MIB)
    sizes = {
        f"out/{path.relative_to(outputs.path)}": path.stat().st_size
        for path in outputs.path.rglob("*")
        if path.is_file()
    }
    for _ in range(KILLS):
        running = outputs.program.start("sidecar", *outputs.flags("--native"))
        enough = len(proxy.requests) + chance.randrange(1, 45)
        pause = chance.random() * 0.3
        _wait_for_requests(proxy, enough, lambda: _is_settled(outputs, sizes))
        _pass(pause)
        assert running.process.poll() is None
        running.kill()
        there = s3_bucket.contents("out/")
        assert {key: sizes[key] for key in there} == there, f"torn; seed {seed}"
    running = outputs.sidecar("--native")
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0, f"seed {seed}"
    assert s3_bucket.contents("out/") == dict(sorted(sizes.items())), f"seed {seed}"
    for key in sizes:
        sent = outputs.path / key.removeprefix("out/")
        assert s3_bucket.get(key) == sent.read_bytes(), f"{key}; seed {seed}"
    assert s3_bucket.open_uploads() == []
    answered = [request for request in proxy.seen(is_part) if request.status == 200]
    parts = {request.query["partNumber"] for request in answered}
    assert len(answered) <= len(parts) + KILLS * PART_THREADS
    # A part that was journaled before the kill is not sent again by a later life: no part has more
    # answers than lives, and most have one.
    once = sum(
        1 for part in parts if sum(request.query["partNumber"] == part for request in answered) == 1
    )
    assert once > len(parts) / 3, f"seed {seed}"


def _wait_for_requests(proxy, count, is_settled):
    eventually(lambda: len(proxy.requests) >= count or is_settled())


def _is_settled(outputs, sizes):
    return len(outputs.place.contents("out/")) == len(sizes)


def _pass(seconds):
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end)
