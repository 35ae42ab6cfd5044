"""The manifests of examples/, over a bucket of the tests' own, as a kubelet runs them."""

import urllib.request

import pytest
import yaml
from pods import CONTAINERS, KILLED
from waiting import eventually

pytestmark = pytest.mark.image

EXAMPLES = CONTAINERS.parent / "examples"
MAIN_IMAGE = "python:3.13-slim"
SECRET = "example-secret-hunter2-hunter2"


@pytest.fixture
def example(play, image, s3_bucket):
    """Plays a pod of an example; what stands for the reader's own bucket, login and node is the test's."""

    def start(name, *, port=None, **options):
        text = (EXAMPLES / name).read_text()
        text = text.replace("s3://my-bucket", f"s3://{s3_bucket.name}")
        ours = f"{{endpoint: '{s3_bucket.endpoint}', region: us-east-1}}"
        assert "options: {region: eu-west-1}" in text
        text = text.replace("options: {region: eu-west-1}", f"options: {ours}")
        text = text.replace("8080", str(port))
        documents = [_workload(document) for document in yaml.safe_load_all(text)]
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3-secret"},
            "stringData": {
                "AWS_ACCESS_KEY_ID": s3_bucket.access_key_id,
                "AWS_SECRET_ACCESS_KEY": SECRET,
            },
        }
        return play([*documents, secret], images={MAIN_IMAGE: image}, **options)

    return start


def _workload(document):
    """What a controller makes of a CronJob and of a Deployment."""
    metadata, spec = document["metadata"], document.get("spec")
    if document["kind"] == "CronJob":
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": f"{metadata['name']}-29406420"},
            "spec": spec["jobTemplate"]["spec"],
        }
    if document["kind"] == "Deployment":
        labels = spec["template"]["metadata"]["labels"]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": metadata["name"], "labels": labels},
            "spec": spec["template"]["spec"],
        }
    return document


@pytest.mark.parametrize(
    "name", ["pod.yaml", "drop-ins/pod.yaml", "drop-ins/job.yaml", "drop-ins/cronjob.yaml"]
)
def test_what_an_example_writes_is_in_the_bucket(example, s3_bucket, name):
    """Inputs in, main's one file out, below the pod's own name."""
    s3_bucket.put("datasets/mnist/train.csv", b"1,2")
    pod = example(name)
    assert pod.finish() == "Succeeded", pod.account()
    assert "train.csv" in pod.log("main")
    key = f"runs/{pod.fields['metadata.name']}/metrics.json"
    assert s3_bucket.keys("runs/") == [key]
    assert s3_bucket.get(key) == b'{"loss": 0.1}\n'


def test_the_pods_of_the_indexed_job_share_out_the_inputs(example, s3_bucket):
    """Four pods, each with its quarter; a prefix for each index."""
    names = [f"{number:02}.jpg" for number in range(12)]
    for name in names:
        s3_bucket.put(f"datasets/imagenet/{name}", b"pixels" * 100)
    pods = [example("drop-ins/indexed-job.yaml", index=index) for index in range(4)]
    assert [pod.finish() for pod in pods] == ["Succeeded"] * 4, pods[0].account()
    lists = [s3_bucket.get(f"features/{index}/files.txt").decode().split() for index in range(4)]
    place = "/data/imagenet/"
    shards = [[path.removeprefix(place) for path in one if path.startswith(place)] for one in lists]
    assert sorted(name for shard in shards for name in shard) == names
    assert [len(shard) for shard in shards] == [3] * 4


def test_the_deployments_pod_serves_what_init_brought_and_its_log_is_sent(
    example, s3_bucket, closed_port
):
    """Until it is deleted: its server stops when it is told to, and then the log's last line is in the bucket."""
    s3_bucket.put("models/resnet50/1/model.bin", b"weights")
    pod = example("drop-ins/deployment.yaml", port=closed_port)
    pod.wait_for("started", "server")

    def served():
        url = f"http://127.0.0.1:{closed_port}/model.bin"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.read()
        except OSError:
            return b""

    assert eventually(served) == b"weights"
    pod.delete()
    assert pod.code("server") != KILLED, pod.account()
    assert pod.code("sidecar") == 0, pod.account()
    (key,) = s3_bucket.keys("logs/")
    assert key == f"logs/{pod.fields['metadata.name']}/access.log"
    assert b"GET /model.bin" in s3_bucket.get(key)
