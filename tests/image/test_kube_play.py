"""Rendered manifests in podman's own pods (``podman kube play``), stopped in the kubelet's order by hand."""

import pytest
from kube_play import KubePlayed
from pods import podman
from waiting import eventually

pytestmark = pytest.mark.image

MIB = 1024 * 1024
OPENSHIFT_UID = 1000640000
WAITS = "while [ ! -e /outputs/go.tmp ]; do sleep 0.1; done; rm /outputs/go.tmp"
"""Until the test says so, by a file in the volume."""


@pytest.fixture
def kube_play(image, tmp_path):
    """Plays the manifest of a job; removed at the end, and no secret was in a log."""
    played = []

    def start(job):
        pod = KubePlayed(job.documents(), tmp_path, image)
        played.append(pod)
        return pod.play()

    yield start
    for pod in played:
        pod.remove()


def go(pod):
    podman("exec", pod.container("main"), "touch", "/outputs/go.tmp")


@pytest.mark.parametrize("uid", [65532, OPENSHIFT_UID])
@pytest.mark.parametrize("mounts_secret", [True, False], ids=["mounted", "variables"])
def test_a_rendered_job_runs_in_podmans_pod(kube_play, job, s3_bucket, uid, mounts_secret):
    """
    Check, init, then main and sidecar over shared volumes: events cross containers while main runs, the end of main's
    process is seen in the shared process namespace, and all of them are restricted.
    """
    s3_bucket.put("in/a.txt", b"one")
    script = f"cp /data/a.txt /outputs/b.txt; {WAITS}; id -u > /outputs/last.txt"
    pod = kube_play(job(script, uid=uid, mounts_secret=mounts_secret, flags=("--no-native",)))
    eventually(lambda: s3_bucket.keys("out/") == ["out/b.txt"])
    assert '"sidecar.polling"' not in pod.log("sidecar")
    for name in ("init", "sidecar"):
        host = pod.inspect(name)["HostConfig"]
        assert (host["Memory"], host["ReadonlyRootfs"]) == (128 * MIB, True), name
        assert pod.inspect(name)["EffectiveCaps"] in (None, [])
    go(pod)
    assert [pod.finish(name) for name in ("check", "init", "main", "sidecar")] == [0] * 4, pod.log(
        "sidecar"
    )
    assert s3_bucket.get("out/b.txt") == b"one"
    assert s3_bucket.get("out/last.txt") == f"{uid}\n".encode()
    assert "sidecar.process_ended" in pod.log("sidecar")


def test_a_pod_that_is_stopped_in_the_kubelets_order_has_its_checkpoint_in_the_bucket(
    kube_play, job, s3_bucket
):
    """SIGTERM reaches both programs as PID 1 of their containers' commands: main saves, the sidecar drains."""
    script = (
        "trap 'sleep 1; echo saved > /outputs/checkpoint; exit 0' TERM; echo up > /outputs/up.txt"
    )
    pod = kube_play(job(f"{script}; while :; do sleep 0.1; done", init=[], flags=("--no-native",)))
    eventually(lambda: s3_bucket.keys("out/up.txt"))
    podman("stop", "--time=7", pod.container("main"))
    assert pod.finish("main") == 0
    podman("stop", "--time=30", pod.container("sidecar"))
    assert pod.finish("sidecar") == 0, pod.log("sidecar")
    assert s3_bucket.get("out/checkpoint") == b"saved\n"


def test_a_sidecar_that_is_killed_and_started_again_goes_on(kube_play, job, s3_bucket):
    """Its journal is on the volume: what is there isn't sent again, what was missed meanwhile is."""
    pod = kube_play(
        job(f"echo 1 > /outputs/1; {WAITS}; echo 3 > /outputs/3", init=[], flags=("--no-native",))
    )
    eventually(lambda: s3_bucket.keys("out/") == ["out/1"])
    before = s3_bucket.head("out/1")["LastModified"]
    podman("kill", "--signal=KILL", pod.container("sidecar"))
    assert pod.finish("sidecar") == 137
    podman("exec", pod.container("main"), "sh", "-c", "echo 2 > /outputs/2")
    podman("start", pod.container("sidecar"))
    eventually(lambda: s3_bucket.keys("out/") == ["out/1", "out/2"])
    go(pod)
    assert (pod.finish("main"), pod.finish("sidecar")) == (0, 0), pod.log("sidecar")
    assert [s3_bucket.get(f"out/{number}") for number in (1, 2, 3)] == [b"1\n", b"2\n", b"3\n"]
    assert s3_bucket.head("out/1")["LastModified"] == before
