"""The containers of a rendered pod do what the job spec says, with what their manifest gives them."""

import secrets
import signal
from pathlib import Path

import pytest
from rendered_pod import RenderedPod
from rendering import ABSENT

ITEMS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


@pytest.fixture
def bucket(s3_bucket):
    """A bucket with inputs. Moto takes any secret, so each test has its own."""
    for number in range(8):
        s3_bucket.put(f"train/{number}.bin", b"x" * 100)
    return s3_bucket._replace(secret_access_key=secrets.token_urlsafe(30))


@pytest.fixture
def pod_of(render, bucket, tmp_path):
    """A pod of a job whose one connection is the bucket, with its secret given in some way."""

    def make(*flags, secret=None, index=None, **members):
        connection = {
            "name": "data",
            "kind": "s3",
            "schema": {"bucket": f"s3://{bucket.name}"},
            "secret": {"name": "keys", **(secret or {})},
            "options": {"endpoint": bucket.endpoint, "region": bucket.region},
        }
        members.setdefault("init", [entry(tmp_path)])
        members.setdefault("outputs", output(tmp_path))
        keys = dict(zip(ITEMS, (bucket.access_key_id, bucket.secret_access_key), strict=True))
        rendered = render(*flags, catalog=[connection], **members)
        return RenderedPod(rendered, tmp_path, {"keys": keys}, index)

    return make


def entry(directory, **members):
    """An entry of init that brings what the bucket has."""
    path = str(directory / "data")
    return {"connection": "data", "artifacts": {"dirs": [["train", "."]]}, "path": path, **members}


def output(directory, name="outputs", **members):
    """An output of the job."""
    return {"connection": "data", "path": str(directory / name), "to": "runs/{pod}", **members}


def brought(directory):
    return sorted(path.name for path in Path(directory).iterdir() if path.suffix == ".bin")


def sent(pod, *files):
    """The pod's sidecar from its start to its end, while main writes ``files``."""
    sidecar = pod.start("sidecar")
    sidecar.wait_for_event("sidecar.reconciled")
    for file in files:
        file.write_text("result")
    sidecar.signal(signal.SIGTERM)
    return sidecar.finish()


@pytest.mark.parametrize(
    "secret",
    [{"mountPath": "secret"}, {"mountPath": "secret", "items": ITEMS}, {"items": ITEMS}, {}],
    ids=["as files", "as these files", "key by key", "whole"],
)
def test_a_pod_reads_and_writes_its_bucket(pod_of, bucket, tmp_path, secret):
    """Check holds, init brings, the sidecar starts, is marked, and sends: however the secret is given."""
    if "mountPath" in secret:
        secret = secret | {"mountPath": str(tmp_path / "keys")}
    pod = pod_of(secret=secret)
    assert 0 == pod.run("check").code
    assert 0 == pod.run("init").code
    assert [f"{number}.bin" for number in range(8)] == brought(tmp_path / "data")
    sidecar = pod.start("sidecar")
    sidecar.wait_for_event("sidecar.reconciled")
    (tmp_path / "outputs/metrics.json").write_text("{}")
    assert 0 == pod.hook("sidecar", "lifecycle", "preStop").code
    sidecar.signal(signal.SIGTERM)
    assert 0 == sidecar.finish().code
    assert ["runs/train-abcde/metrics.json"] == bucket.keys("runs/")


def test_a_pod_of_several_outputs_sends_each(pod_of, bucket, tmp_path):
    """Each to its own place, with one state for all, which the hook finds."""
    outputs = [output(tmp_path, to="a/{namespace}"), output(tmp_path, "more", to="b/{uid}")]
    pod = pod_of(init=ABSENT, outputs=outputs)
    assert 0 == pod.run("check").code
    sidecar = pod.start("sidecar")
    sidecar.wait_for_event("sidecar.reconciled", count=2)
    (tmp_path / "outputs/one").write_text("1")
    (tmp_path / "more/two").write_text("2")
    assert 0 == pod.hook("sidecar", "lifecycle", "preStop").code
    sidecar.signal(signal.SIGTERM)
    assert 0 == sidecar.finish().code
    assert ["a/research/one", "b/u-1/two"] == [*bucket.keys("a/"), *bucket.keys("b/")]


def test_a_pod_of_an_indexed_job_brings_its_shard(pod_of, bucket, tmp_path):
    """By the index that Kubernetes sets in each container."""
    shard = {"index": "$JOB_COMPLETION_INDEX", "count": 4}
    pod = pod_of(
        completions=4,
        index=2,
        init=[entry(tmp_path, shard=shard)],
        outputs=output(tmp_path, to="runs/{index}"),
    )
    assert 0 == pod.run("check").code
    assert 0 == pod.run("init").code
    assert 2 == len(brought(tmp_path / "data"))
    assert 0 == sent(pod, tmp_path / "outputs/done").code
    assert ["runs/2/done"] == bucket.keys("runs/")


def test_check_looks_at_what_init_is_told_by_its_variables(pod_of, tmp_path):
    """A shard's own variable and the parent of what has no path: check tries what init will do."""
    shard = {"index": "$RANK", "count": 4}
    member = {"connection": "data", "artifacts": {"dirs": ["train"]}, "shard": shard}
    env = {"RANK": "1", "LIGHTERMAN_ARTIFACTS": str(tmp_path / "artifacts")}
    pod = pod_of(init=[member], lighterman={"init": {"env": env}})
    checked = pod.run("check")
    assert 0 == checked.code
    assert str(tmp_path / "artifacts/data") in checked.stdout
    assert 0 == pod.run("init").code
    assert 2 == len(brought(tmp_path / "artifacts/data/train"))


def test_a_pod_with_an_ordinary_sidecar_ends_by_the_done_file(pod_of, bucket, tmp_path):
    """`--no-native`: main's file is the end of it."""
    done = tmp_path / "outputs/.done"
    pod = pod_of("--no-native", "--done-file", str(done))
    sidecar = pod.start("sidecar")
    sidecar.wait_for_event("sidecar.reconciled")
    (tmp_path / "outputs/result").write_text("1")
    done.write_text("")
    assert 0 == sidecar.finish().code
    assert "runs/train-abcde/result" in bucket.keys("runs/")
