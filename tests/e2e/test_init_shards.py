"""Shards: the pods of a job, each with its part of one prefix."""

import json

import pytest
from pulls import Pull

SIZES = {f"data/{number:02}.bin": number * 3000 for number in range(23)} | {"data/empty/": 0}


@pytest.fixture
def pods(s3_bucket, tmp_path, moto_endpoint):
    """Three inits of one bucket, each with a volume of its own."""
    for key, size_bytes in SIZES.items():
        s3_bucket.put(key, bytes([len(key)]) * size_bytes)
    made = []
    for index in range(3):
        directory = tmp_path / f"pod-{index}"
        directory.mkdir()
        made.append(Pull(s3_bucket, directory, moto_endpoint))
    return made


def test_every_pod_brings_its_part_of_one_listing(pods):
    """Disjoint, complete and balanced within one largest file; the report carries the listing's digest."""
    found, bytes_of, told = [], [], []
    for index, pod in enumerate(pods):
        spec = pod.dest.parent / "job.json"
        shard = {"index": "$JOB_COMPLETION_INDEX", "count": 3}
        entry = {"connection": pod.uri, "path": str(pod.dest), "shard": shard}
        spec.write_text(json.dumps({"init": [entry]}))
        environ = {"JOB_COMPLETION_INDEX": str(index)}
        finished = pod.program.run("init", "--spec", spec, environ=environ)
        assert finished.code == 0, finished.stderr
        files = pod.files()
        found += files
        bytes_of.append(sum(map(len, files.values())))
        assert (finished.report["files"], finished.report["bytes"]) == (len(files), bytes_of[-1])
        [one] = finished.report["shards"]
        planned = finished.event("init.planned")
        assert (planned["shard"], planned["listing_digest"]) == (
            f"{index}/3",
            one["listing_digest"],
        )
        assert (one.pop("index"), one.pop("count"), one.pop("connection")) == (index, 3, pod.uri)
        told.append(one)
        assert (pod.dest / "data/empty").is_dir()
    assert sorted(found) == sorted(key for key in SIZES if not key.endswith("/"))
    assert max(bytes_of) - min(bytes_of) <= max(SIZES.values())
    assert told[0] == told[1] == told[2]
    assert (told[0]["listed_files"], told[0]["listed_bytes"]) == (23, sum(SIZES.values()))
    assert len(told[0]["listing_digest"]) == 32


def test_a_shard_may_be_given_by_flag(pods):
    """``--shard INDEX/COUNT``, with ``URI DEST`` too; a second run finds its part."""
    for index, pod in enumerate(pods):
        finished = pod.run("--shard", f"{index}/3")
        assert finished.code == 0, finished.stderr
        again = pod.program.run("init", pod.uri, pod.dest, "--shard", f"{index}/3")
        assert (again.code, again.report["files"]) == (0, 0)
        assert again.report["skipped"] == finished.report["files"]
    assert sorted(key for pod in pods for key in pod.files()) == sorted(
        key for key in SIZES if not key.endswith("/")
    )


@pytest.mark.parametrize(
    ("flags", "environ", "code", "said"),
    [
        (["--shard", "$JOB_COMPLETION_INDEX/3"], {}, 78, "$JOB_COMPLETION_INDEX isn't set"),
        (["--shard", "3/3"], {}, 78, "--shard.index: 3 is 3, of a count of 3"),
        (["--shard", "3"], {}, 64, "write INDEX/COUNT"),
        ([], {"LIGHTERMAN_SHARD": "a/3"}, 78, "--shard.index: 'a' is no number"),
    ],
)
def test_a_shard_that_is_off_is_said_before_anything_else(pods, flags, environ, code, said):
    """78 for a number that is off or unset, 64 for what is no shard; nothing is written."""
    finished = pods[0].run(*flags, environ=environ)
    assert finished.code == code
    assert said in finished.report["error"]["message"]
    assert not pods[0].dest.exists()
