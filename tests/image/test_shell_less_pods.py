"""The image without a shell in a pod: its probe and its hook are exec'ed, and no shell passes signals on."""

import pytest
from waiting import eventually

pytestmark = pytest.mark.image

MAIN = "main-has-a-shell"
NATIVE = ()
ORDINARY = ("--no-native",)


@pytest.mark.parametrize("flags", [NATIVE, ORDINARY], ids=["native", "ordinary"])
def test_a_job_whose_pod_is_stopped_has_its_checkpoint_in_the_bucket(
    play, job, s3_bucket, image, shell_less_image, flags
):
    """Check, init and sidecar have no shell; main, which has one, saves when it is told to end."""
    s3_bucket.put("in/a.txt", b"one")
    script = "trap 'echo saved > /outputs/checkpoint; exit 0' TERM; cp /data/a.txt /outputs/b.txt"
    documents = job(
        f"{script}; while :; do sleep 0.1; done", container={"image": MAIN}, flags=flags
    ).documents()
    pod = play(documents, images={"lighterman": shell_less_image, MAIN: image})
    pod.wait_for("started", "main")
    eventually(lambda: s3_bucket.keys("out/") == ["out/b.txt"])
    assert pod.execute("sidecar", "sh", "-c", "true")[0] != 0
    assert pod.delete() == "Succeeded", pod.account()
    assert pod.codes() == {"check": 0, "init": 0, "main": 0, "sidecar": 0}
    assert pod.order("pre-stop") == ([] if flags else ["pre-stop sidecar 0"])
    assert s3_bucket.get("out/checkpoint") == b"saved\n"
