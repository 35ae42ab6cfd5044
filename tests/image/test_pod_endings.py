"""How pods are stopped: what main writes at its end, and what is left of the grace for the sidecar."""

import json

import pytest
from jobs import GRACE_SECONDS, WRITES
from servers.faults import Stall
from waiting import eventually

pytestmark = pytest.mark.image

WAITS = "echo up > /outputs/up.txt; while :; do sleep 0.1; done"


def up(pod, bucket):
    """Wait until main works and its first output is in the bucket."""
    pod.wait_for("started", "main")
    eventually(lambda: bucket.keys("out/up.txt"))


def test_a_checkpoint_that_main_saves_when_it_is_told_is_in_the_bucket(play, job, s3_bucket):
    """A pod that is deleted in mid-run: main saves, then the sidecar is told, and sends it."""
    script = f"trap 'sleep 1; echo saved > /outputs/checkpoint.tmp; exit 0' TERM; {WAITS}"
    pod = play(job(script, init=[]).documents())
    up(pod, s3_bucket)
    pod.delete()
    assert s3_bucket.get("out/checkpoint.tmp") == b"saved\n"
    assert pod.codes() == {"check": 0, "main": 0, "sidecar": 0}
    order = pod.order("pre-stop", "ended", "told")
    assert order.index("pre-stop sidecar 0") < order.index("ended main 0")
    told = next(one for one in order if one.startswith("told sidecar"))
    assert order.index("told main 60") < order.index("ended main 0") < order.index(told)


def test_a_main_that_uses_up_the_grace_leaves_the_sidecar_two_seconds(play, job, s3_bucket, proxy):
    """
    The mark of preStop tells it how little is left: it names what is missing (75) and keeps its journal, before it
    would be killed.
    """
    proxy.on(lambda request: request.path.endswith("/out/late.bin"), Stall(), times=None)
    late = "sleep 7; head -c 100000 /dev/urandom > /outputs/late.bin; exit 0"
    pod = play(
        job(
            f"trap '{late}' TERM; {WAITS}",
            init=[],
            endpoint=proxy.url,
            environment={"terminationGracePeriodSeconds": 8},
        ).documents()
    )
    up(pod, s3_bucket)
    assert pod.delete() == "Succeeded", "Kubernetes doesn't look at a sidecar's exit code"
    assert "told sidecar 2" in pod.order("told")
    assert pod.code("sidecar") == 75, pod.account()
    report = json.loads(pod.message("sidecar"))
    assert (report["status"], report["error"]["kind"]) == ("failed", "deadline")
    assert report["failed"]["first"][0]["key"] == "out/late.bin"
    state = pod.volumes.source("lighterman-state")
    assert [path.name for path in state.rglob("journal.db")]
    assert s3_bucket.keys("out/") == ["out/up.txt"]


def test_a_main_that_is_killed_at_the_end_of_its_grace_loses_nothing_that_it_wrote(
    play, job, s3_bucket
):
    """It ignores SIGTERM and is killed; the sidecar has the least that a kubelet gives, and that is enough."""
    script = f"trap 'echo told > /outputs/told.txt' TERM; {WAITS}"
    pod = play(job(script, init=[], environment={"terminationGracePeriodSeconds": 4}).documents())
    up(pod, s3_bucket)
    assert pod.delete() == "Failed"
    assert pod.codes() == {"check": 0, "main": 137, "sidecar": 0}
    assert s3_bucket.get("out/told.txt") == b"told\n"


def test_a_pod_that_is_deleted_while_init_works_ends_at_once(play, job, s3_bucket, proxy):
    """Init ends by its signal, main never starts, nothing partial is left in the volume."""
    s3_bucket.put("in/a.txt", b"one")
    s3_bucket.put("in/b.txt", b"two")
    proxy.on(lambda request: request.path.endswith("/in/b.txt"), Stall(), times=None)
    pod = play(job(WAITS, endpoint=proxy.url).documents())
    pod.wait_for("started", "init")
    proxy.wait_for(lambda request: request.path.endswith("/in/b.txt"))
    assert pod.delete() == "Failed"
    at = {(one.what, one.container): one.seconds for one in pod.happenings}
    assert at["ended", "init"] - at["told", "init"] < GRACE_SECONDS / 2
    assert "main" not in pod.codes()
    data = pod.volumes.source("data")
    assert {path.name for path in data.rglob("*.txt")} <= {"a.txt"}


def test_a_grace_of_a_second_is_enough_for_a_sidecar_that_is_in_step(play, job, s3_bucket):
    """``kubectl delete --grace-period=1``: everything that was closed before is there already."""
    pod = play(job(WAITS, init=[], outputs=WRITES | {"to": "out"}).documents())
    up(pod, s3_bucket)
    pod.delete(grace_seconds=1)
    assert pod.code("sidecar") == 0, pod.account()
    assert s3_bucket.keys("out/") == ["out/up.txt"]
