"""Init and sidecar as containers: read-only root, no capabilities, 128 MiB, over an S3 server."""

import json

import pytest
import trees
from pods import KILLED, podman

pytestmark = pytest.mark.image

MIB = 1024 * 1024


def make_odd_tree(root):
    trees.make_tree(root, 3000)


def make_large_file(root):
    trees.make_large(root / "model.safetensors", 700 * MIB)


CARGO = pytest.mark.parametrize(
    "make_cargo", [make_odd_tree, make_large_file], ids=["3000 files", "700 MiB"]
)
SIDECAR = ("sidecar", "--connection", "bucket", "--path", "/outputs", "--to", "out", "--native")


@CARGO
def test_cargo_goes_up_and_comes_back_within_128_mib(pod, make_cargo):
    """Inside a container with a limit of 128 MiB, byte for byte, modes and mtimes kept."""
    make_cargo(pod.outputs)
    pod.hand_over()
    sidecar = pod.start(*SIDECAR, "--grace", "600")
    pod.wait_for(sidecar, "sidecar.started")
    podman("kill", "--signal", "TERM", sidecar)
    code, log = pod.finish(sidecar)
    assert code != KILLED, "the sidecar ran out of memory"
    assert code == 0, log
    code, log = pod.run("init", "--connection", "bucket", "--dir", "out:.", "--to", "/data")
    assert code != KILLED, "init ran out of memory"
    assert code == 0, log
    assert trees.differences(pod.outputs, pod.data) == []


def test_64_large_files_in_flight_at_once_fit_into_128_mib(pod):
    """Peak memory under 120 MiB with 64 large files in flight, and inside a 128 MiB container."""
    for number in range(64):
        trees.make_large(pod.outputs / f"{number}.safetensors", 18 * MIB, seed=number)
    pod.hand_over()
    sidecar = pod.start(*SIDECAR, "--grace", "600", "--workers", "64")
    pod.wait_for(sidecar, "sidecar.started")
    podman("kill", "--signal", "TERM", sidecar)
    code, log = pod.finish(sidecar)
    assert code != KILLED, "the sidecar ran out of memory"
    assert code == 0, log
    assert '"files":64' in log.replace(" ", "")


def test_sigterm_reaches_the_program_as_pid_1(pod):
    """A native sidecar drains when it is told: what was written just before is in the bucket."""
    sidecar = pod.start(*SIDECAR, "--grace", "60")
    pod.wait_for(sidecar, "sidecar.started")
    first_process = podman("exec", sidecar, "cat", "/proc/1/cmdline").split("\0")
    assert "lighterman" in first_process
    (pod.outputs / "last.txt").write_text("written at the very end")
    pod.hand_over()
    podman("kill", "--signal", "TERM", sidecar)
    code, log = pod.finish(sidecar)
    assert code == 0, log
    code, log = pod.run(
        "init", "--connection", "bucket", "--file", "out/last.txt:last.txt", "--to", "/data"
    )
    assert code == 0, log
    assert (pod.data / "last.txt").read_text() == "written at the very end"


def test_a_container_that_fails_says_why_where_kubernetes_looks(pod):
    """The report is in the termination log, and the exit code tells a missing source (66) apart."""
    (pod.data / "termination-log").touch()
    pod.hand_over()
    code, log = pod.run(
        *("init", "--connection", "bucket", "--dir", "nowhere", "--to", "/data/in"),
        environ={"LIGHTERMAN_REPORT": "/data/termination-log"},
    )
    assert code == 66, log
    report = json.loads((pod.data / "termination-log").read_text())
    assert (report["status"], report["error"]["kind"]) == ("failed", "source_missing")
    assert "nowhere" in report["error"]["message"]


def test_kserve_calls_the_image_with_a_uri_and_a_destination(pod):
    """`lighterman init URI DEST` is the calling convention of KServe's ClusterStorageContainer."""
    (pod.outputs / "model.bin").write_bytes(b"weights")
    pod.hand_over()
    up = ("sync", "--connection", "bucket", "--path", "/outputs", "--to", "model")
    code, log = pod.run(*up)
    assert code == 0, log
    catalog = json.loads((pod.directory / "catalog" / "connections.yaml").read_text())[0]
    code, log = pod.run(
        *("init", f"{catalog['schema']['bucket']}/model", "/data"),
        environ={
            "AWS_ENDPOINT_URL": catalog["options"]["endpoint"],
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "testkey",
            "AWS_SECRET_ACCESS_KEY": pod.secret,
        },
    )
    assert code == 0, log
    assert (pod.data / "model.bin").read_bytes() == b"weights"
