"""Killed with SIGKILL at random moments of a large upload, and started again on the same volume."""

import random
import signal
import threading

import pytest
import trees
from servers.faults import is_part

MIB = 1024 * 1024
KILLS = 20
PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4
LONGEST_LIFE_SECONDS = 0.4


@pytest.fixture(
    params=[
        ("s3_bucket", 750, 175),
        pytest.param(("rgw_bucket", 3000, 700), marks=pytest.mark.ceph),
    ],
    ids=["moto", "rgw"],
)
def upload(request, tmp_path):
    """A bucket, and a tree of many odd files and a large one that is to go there."""
    bucket, files, large_mib = request.param
    tree = trees.make_tree(tmp_path / "outputs", files)
    trees.make_large(tree / "model.safetensors", large_mib * MIB)
    return request.getfixturevalue(bucket), tree, large_mib * MIB // PART_BYTES + 1


def arrived_parts(proxy):
    """Upload and number of each part that the store has taken."""
    return [
        (part.query["uploadId"], part.query["partNumber"])
        for part in proxy.seen(is_part)
        if part.status == 200
    ]


def assert_no_torn_object(bucket, tree):
    for key, size_bytes in bucket.contents("out/").items():
        path = tree / key.removeprefix("out/")
        assert path.stat().st_size == size_bytes, f"{key} is torn"


def test_killed_at_random_moments_it_goes_on(upload, program_over, proxy_to, tmp_path):
    """Nothing is lost, nothing is torn, and at most the parts in flight are sent again."""
    bucket, tree, parts = upload
    proxy = proxy_to(bucket.endpoint)
    program = program_over(bucket._replace(endpoint=proxy.url))
    flags = ("sidecar", "--connection", "bucket", "--path", tree, "--to", "out", "--native")
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    files = len([path for path in tree.rglob("*") if path.is_file()])
    killed_meanwhile = 0
    for _ in range(KILLS):
        sidecar = program.start(*flags)
        sidecar.wait_for_event("sidecar.started")
        threading.Event().wait(chance.uniform(0, LONGEST_LIFE_SECONDS))
        assert sidecar.kill().code == -signal.SIGKILL
        killed_meanwhile += len(bucket.contents("out/")) < files
        before = arrived_parts(proxy)
        assert_no_torn_object(bucket, tree)
        assert len(before) == len(set(before)), "a part that had arrived was sent again"

    print(f"{killed_meanwhile} of {KILLS} kills came during the upload")  # noqa: T201 - likewise
    assert killed_meanwhile > 1

    sidecar = program.start(*flags, "--grace", "600")
    sidecar.wait_for_event("sidecar.started")
    sidecar.signal(signal.SIGTERM)
    finished = sidecar.finish(seconds=300)

    assert finished.code == 0
    assert len(proxy.seen(is_part)) <= parts + KILLS * PARTS_IN_FLIGHT
    back = program.run(
        "init", "--connection", "bucket", "--dir", "out:.", "--to", tmp_path / "back"
    )
    assert back.code == 0
    assert trees.differences(tree, tmp_path / "back") == []
