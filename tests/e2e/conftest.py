"""The real program against a fresh bucket."""

import secrets

import msgspec
import pytest
import trees
from outputs_place import Outputs, Volume
from program import Program

ROUND_TRIP_FILES = 3000


def program_for(bucket, directory):
    """The program with a catalog that holds ``bucket``; its secret is searched for in all it says."""
    catalog = {
        "connections": [
            {
                "name": "bucket",
                "kind": "s3",
                "schema": {"bucket": f"s3://{bucket.name}"},
                "secret": {"name": "keys", "mountPath": str(directory / "secret")},
                "options": {"endpoint": bucket.endpoint, "region": bucket.region},
            }
        ]
    }
    (directory / "secret").mkdir()
    (directory / "secret" / "AWS_ACCESS_KEY_ID").write_text(f"{bucket.access_key_id}\n")
    (directory / "secret" / "AWS_SECRET_ACCESS_KEY").write_text(f"{bucket.secret_access_key}\n")
    (directory / "catalog.json").write_bytes(msgspec.json.encode(catalog))
    environ = {"LIGHTERMAN_CATALOG": str(directory / "catalog.json")}
    return Program(directory, environ, [bucket.secret_access_key])


@pytest.fixture
def program(s3_bucket, tmp_path):
    """The program with a bucket of moto's. Moto takes any secret, so each test has its own."""
    return program_for(s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30)), tmp_path)


@pytest.fixture
def rgw_program(rgw_bucket, tmp_path):
    """The program with a bucket of a Ceph RGW, which checks every signature."""
    return program_for(rgw_bucket, tmp_path)


@pytest.fixture
def odd_tree(tmp_path):
    """3,000 files of 0 bytes to 1 MiB with odd names, modes and mtimes."""
    return trees.make_tree(tmp_path / "odd-tree", ROUND_TRIP_FILES)


def volume_program(directory):
    """The program with a catalog whose ``bucket`` is a directory."""
    place = directory / "place"
    place.mkdir()
    catalog = [
        {
            "name": "bucket",
            "kind": "host_path",
            "schema": {"hostPath": str(place), "mountPath": str(place)},
        }
    ]
    (directory / "catalog.json").write_bytes(msgspec.json.encode(catalog))
    environ = {"LIGHTERMAN_CATALOG": str(directory / "catalog.json")}
    return Program(directory, environ), Volume(place)


@pytest.fixture
def program_over(tmp_path):
    """Makes the program over a bucket that the test chose."""
    return lambda bucket: program_for(bucket, tmp_path)


@pytest.fixture
def outputs(tmp_path):
    """An outputs path that goes to a directory."""
    program, place = volume_program(tmp_path)
    return Outputs(program, place, tmp_path / "outputs")


@pytest.fixture
def s3_outputs(s3_bucket, program, tmp_path):
    """An outputs path that goes to a bucket of moto's."""
    return Outputs(program, s3_bucket, tmp_path / "outputs")
