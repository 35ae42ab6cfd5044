"""A manifest beside the objects: init checks against it where it finds one."""

import json
import os

import google_crc32c
import pytest
from pulls import MIB, Pull

NAME = ".lighterman-manifest.json"


@pytest.fixture
def pull(s3_bucket, tmp_path):
    return Pull(s3_bucket, tmp_path)


def put_manifest(pull, files):
    told = {
        name: {"size_bytes": len(content), "crc32c": f"{google_crc32c.value(content):08x}"}
        for name, content in files.items()
    }
    pull.bucket.put(NAME, json.dumps({"version": 1, "files": told}).encode())


@pytest.fixture
def files(pull):
    """Two objects that were put by parts, one of them in several ranges, and a small one."""
    found = {"large": os.urandom(19 * MIB), "d/medium": os.urandom(2 * MIB), "small": b"small"}
    for key, body in found.items():
        pull.bucket.put_by_parts(key, body)
    return found


def test_without_a_manifest_they_are_unverified(pull, files):
    """Where neither exists: size and ETag pin, counted as ``unverified`` in the report."""
    finished = pull.run()
    assert (finished.code, finished.report["unverified"]) == (0, 3)
    assert pull.files() == files


def test_with_a_manifest_all_are_verified(pull, files):
    """The store's full-object checksum or a manifest's."""
    put_manifest(pull, files)
    finished = pull.run()
    assert (finished.code, finished.report.get("unverified", 0)) == (0, 0), finished.stderr
    found = pull.files()
    found.pop(NAME)
    assert found == files


@pytest.mark.parametrize("key", ["large", "d/medium", "small"])
def test_other_bytes_than_the_manifest_says_end_with_65(pull, files, key):
    """Fetched again once; then nothing of it is placed."""
    put_manifest(pull, files | {key: files[key][:-1] + b"?"})
    finished = pull.run()
    assert finished.code == 65, finished.stderr
    assert f"{key!r} came twice with other bytes" in finished.report["error"]["message"]
    assert key not in pull.files()
    assert pull.temporaries() == []


def test_a_manifest_that_names_more_than_there_is(pull, files):
    """66 before any byte moves: the directory isn't whole."""
    put_manifest(pull, files | {"d/missing": b"x"})
    finished = pull.run()
    assert finished.code == 66
    assert "'d/missing' (it isn't there, and should be by" in finished.report["error"]["message"]
    assert not pull.dest.exists() or pull.files() == {}


def test_a_manifest_of_another_size(pull, files):
    """65 before any byte moves."""
    put_manifest(pull, files | {"small": b"smaller"})
    finished = pull.run()
    assert finished.code == 65
    assert "'small' (it has 5 bytes, and 7 by" in finished.report["error"]["message"]
    assert not pull.dest.exists() or pull.files() == {}
