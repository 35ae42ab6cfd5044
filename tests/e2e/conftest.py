"""The real program against a fresh bucket."""

import random
import secrets
import subprocess

import places
import pytest
import trees
from outputs_place import Outputs, Volume
from program import Program

ROUND_TRIP_FILES = 3000


def program_for(place, directory):
    """The program with a catalog that holds ``place``; its secrets are searched for in all it says."""
    environ = {"LIGHTERMAN_CATALOG": str(places.catalog(place, directory))}
    return Program(directory, environ, places.secrets_of(place))


@pytest.fixture
def program(s3_bucket, tmp_path):
    """The program with a bucket of moto's. Moto takes any secret, so each test has its own."""
    return program_for(s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30)), tmp_path)


@pytest.fixture
def chance():
    """Another course each time; a failure shows its seed."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture
def odd_tree(tmp_path, request):
    """3,000 files of 0 bytes to 1 MiB with odd names, as far as the place can have them, modes and mtimes."""
    names = places.names_for(request.getfixturevalue("place"))
    return trees.make_tree(tmp_path / "odd-tree", ROUND_TRIP_FILES, names=names)


@pytest.fixture
def program_over(tmp_path):
    """Makes the program over a bucket that the test chose."""
    return lambda place: program_for(place, tmp_path)


@pytest.fixture
def volume(tmp_path):
    """A directory as the place."""
    (tmp_path / "place").mkdir()
    return Volume(tmp_path / "place")


@pytest.fixture
def outputs(volume, tmp_path):
    """An outputs path that goes to a directory."""
    return Outputs(program_for(volume, tmp_path), volume, tmp_path / "outputs")


@pytest.fixture
def s3_outputs(s3_bucket, program, tmp_path):
    """An outputs path that goes to a bucket of moto's."""
    return Outputs(program, s3_bucket, tmp_path / "outputs")


@pytest.fixture(
    params=[
        "s3_bucket",
        "gcs_bucket",
        "azure_container",
        pytest.param("rgw_bucket", marks=pytest.mark.ceph),
    ],
    ids=["moto", "gcs", "azurite", "rgw"],
)
def bucket(request):
    """A bucket of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs with these options (as root, which CI is)."""
    places = []

    def mount(*options):
        places.append(tmp_path / f"mount-{len(places)}")
        places[-1].mkdir()
        subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", places[-1]], check=True)
        return places[-1]

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)
