"""
The sidecar as an ordinary container, as ``render --no-native`` makes it for clusters before 1.29: nobody tells it
when main has ended, and SIGTERM reaches both at once.
"""

import pytest
from waiting import eventually

pytestmark = pytest.mark.image

WORK = "cat /data/a.txt > /outputs/b.txt; sleep 1.5; echo last > /outputs/last.txt"
DONE = "/outputs/.done"
ENDS = {
    "watch-process": (("--no-native",), WORK),
    "done-file": (("--no-native", "--done-file", DONE), f"{WORK}; touch {DONE}"),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_by_itself_after_main(play, job, s3_bucket, end):
    """By main's process in a shared process namespace, or by the file that main writes: the pod succeeds."""
    s3_bucket.put("in/a.txt", b"one")
    flags, script = ENDS[end]
    pod = play(job(script, flags=flags).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert pod.codes() == {"check": 0, "init": 0, "main": 0, "sidecar": 0}
    assert pod.order("told") == []
    assert pod.spec.share_process_namespace is (end == "watch-process")
    assert s3_bucket.get("out/b.txt") == b"one"
    assert s3_bucket.get("out/last.txt") == b"last\n"


@pytest.mark.parametrize("end", ENDS)
def test_a_checkpoint_that_main_saves_after_both_were_told_is_in_the_bucket(
    play, job, s3_bucket, end
):
    """SIGTERM reaches the sidecar before the checkpoint is written: it drains, and goes on watching for main's end."""
    flags, _ = ENDS[end]
    saves = f"sleep 2; echo saved > /outputs/checkpoint.txt; touch {DONE}; exit 0"
    script = f"trap '{saves}' TERM; echo up > /outputs/up.txt; while :; do sleep 0.1; done"
    pod = play(job(script, init=[], flags=flags).documents())
    pod.wait_for("started", "main")
    eventually(lambda: s3_bucket.keys("out/up.txt"))
    assert pod.delete() == "Succeeded", pod.account()
    at = {(one.what, one.container): one.seconds for one in pod.happenings}
    assert at["told", "sidecar"] < at["ended", "main"]
    assert s3_bucket.get("out/checkpoint.txt") == b"saved\n"


def test_a_main_that_fails_at_once_ends_the_pod(play, job, s3_bucket):
    """It starts once the sidecar looks for it, so that a process of a moment is seen; what it wrote is in the bucket."""
    script = "echo why > /outputs/why.txt; sleep 0.3; exit 3"
    pod = play(job(script, init=[], flags=("--no-native",)).documents())
    assert pod.finish() == "Failed", pod.account()
    assert pod.codes() == {"check": 0, "sidecar": 0, "main": 3}
    assert s3_bucket.get("out/why.txt") == b"why\n"
