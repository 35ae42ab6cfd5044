"""Whole jobs in pods, from bucket to bucket, as a kubelet runs them."""

import json

import pytest

pytestmark = pytest.mark.image

INPUTS = {"a.txt": b"one", "sub/b.txt": b"two", "empty": b""}
WORK = "cat /data/a.txt /data/sub/b.txt > /outputs/joined.txt; echo done > /outputs/log.txt"


@pytest.fixture
def inputs(s3_bucket):
    """What the job reads."""
    for name, body in INPUTS.items():
        s3_bucket.put(f"in/{name}", body)
    return INPUTS


def test_a_job_goes_from_bucket_to_bucket_and_its_pod_ends_by_itself(play, job, s3_bucket, inputs):
    """Init brings, main works, the sidecar sends what is left once main ended, and nothing waits for anybody."""
    pod = play(job(WORK).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert s3_bucket.get("out/joined.txt") == b"onetwo"
    assert s3_bucket.keys("out/") == ["out/joined.txt", "out/log.txt"]
    assert pod.order("started", "ended") == [
        "started check",
        "ended check 0",
        "started init",
        "ended init 0",
        "started sidecar",
        "started main",
        "ended main 0",
        "ended sidecar 0",
    ]
    report = json.loads(pod.message("sidecar"))
    assert (report["command"], report["status"], report["files"]) == ("sidecar", "done", 2)
