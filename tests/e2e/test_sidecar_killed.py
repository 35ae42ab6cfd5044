"""Killed with SIGKILL at random moments of a large upload, and started again on the same volume."""

import random
import signal
import threading

import places
import pytest
import trees
from outputs_place import Volume
from servers.faults import has_arrived, is_part, part_of

MIB = 1024 * 1024
KILLS = 20
PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4
LONGEST_LIFE_SECONDS = 0.4
LONGEST_LIFE_OVER_A_VOLUME_SECONDS = 0.15


@pytest.fixture(
    params=[
        ("volume", 3000, 700),
        ("s3_bucket", 750, 175),
        ("gcs_bucket", 750, 175),
        ("azure_container", 750, 175),
        pytest.param(("rgw_bucket", 3000, 700), marks=pytest.mark.ceph),
    ],
    ids=["volume", "moto", "gcs", "azurite", "rgw"],
)
def upload(request, tmp_path):
    """A place, a tree of many odd files and a large one that is to go there, and the large one's size."""
    place, files, large_mib = request.param
    place = request.getfixturevalue(place)
    tree = trees.make_tree(tmp_path / "outputs", files, names=places.names_for(place))
    trees.make_large(tree / "model.safetensors", large_mib * MIB)
    return place, tree, large_mib * MIB


class Watched:
    """The parts that pass a proxy on their way to a bucket."""

    longest_life_seconds = LONGEST_LIFE_SECONDS

    def __init__(self, proxy):
        self._proxy = proxy

    def arrived(self):
        """What tells each part that the store has taken."""
        return [part_of(part) for part in self._proxy.seen(is_part) if has_arrived(part)]

    def again_bytes(self, once_bytes):
        """How much was sent beyond what had to be."""
        return sum(part.body_bytes for part in self._proxy.seen(is_part)) - once_bytes


class Unwatched:
    """A volume has no wire: its parts are files, and what is copied again is seen by nobody."""

    longest_life_seconds = LONGEST_LIFE_OVER_A_VOLUME_SECONDS

    def arrived(self):
        return []

    def again_bytes(self, once_bytes):
        return 0


@pytest.fixture
def watched(upload, program_over, proxy_to):
    """The program over the place, and what is seen of its parts."""
    place, _, _ = upload
    if isinstance(place, Volume):
        return program_over(place), Unwatched()
    proxy = proxy_to(place.endpoint.partition("//")[0] + "//" + place.endpoint.split("/")[2])
    return program_over(places.through(place, proxy.url)), Watched(proxy)


def objects(place):
    """Without directories: a volume's are made before the files in them."""
    return {key: size for key, size in place.contents("out/").items() if not key.endswith("/")}


def assert_no_torn_object(bucket, tree):
    for key, size_bytes in objects(bucket).items():
        path = tree / key.removeprefix("out/")
        assert path.stat().st_size == size_bytes, f"{key} is torn"


def test_killed_at_random_moments_it_goes_on(upload, watched, tmp_path):
    """Nothing is lost, nothing is torn, and at most the parts in flight are sent again."""
    bucket, tree, large_bytes = upload
    program, parts = watched
    flags = ("sidecar", "--connection", "bucket", "--path", tree, "--to", "out", "--native")
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    files = len([path for path in tree.rglob("*") if path.is_file()])
    killed_meanwhile = 0
    for _ in range(KILLS):
        sidecar = program.start(*flags)
        sidecar.wait_for_event("sidecar.started")
        threading.Event().wait(chance.uniform(0, parts.longest_life_seconds))
        assert sidecar.kill().code == -signal.SIGKILL
        killed_meanwhile += len(objects(bucket)) < files
        before = parts.arrived()
        assert_no_torn_object(bucket, tree)
        assert len(before) == len(set(before)), "a part that had arrived was sent again"

    print(f"{killed_meanwhile} of {KILLS} kills came during the upload")  # noqa: T201 - likewise
    assert killed_meanwhile > 1

    sidecar = program.start(*flags, "--grace", "600")
    sidecar.wait_for_event("sidecar.started")
    sidecar.signal(signal.SIGTERM)
    finished = sidecar.finish(seconds=300)

    assert finished.code == 0
    again_bytes = parts.again_bytes(large_bytes)
    print(f"{again_bytes / MIB:.1f} MiB of {large_bytes / MIB:.0f} were sent again")  # noqa: T201 - likewise
    assert again_bytes <= KILLS * PARTS_IN_FLIGHT * PART_BYTES
    back = program.run(
        "init", "--connection", "bucket", "--dir", "out:.", "--to", tmp_path / "back"
    )
    assert back.code == 0
    assert trees.differences(tree, tmp_path / "back") == []
