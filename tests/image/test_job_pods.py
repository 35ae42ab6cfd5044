"""Whole jobs in pods, from bucket to bucket: rendered by ``lighterman render``, run as a kubelet runs them."""

import hashlib
import json
import threading
from collections import Counter

import pytest
import trees
from jobs import READS, WRITES
from servers.faults import slow_down

pytestmark = pytest.mark.image

MIB = 1024 * 1024
INPUTS = {"a.txt": b"one", "sub/b.txt": b"two", "empty": b""}
WORK = "cat /data/a.txt /data/sub/b.txt > /outputs/joined.txt; echo done > /outputs/log.txt"
OPENSHIFT_UID = 1000640000
"""From the range that a namespace gets there: no passwd entry knows it."""


@pytest.fixture
def inputs(s3_bucket):
    """What the job reads."""
    for name, body in INPUTS.items():
        s3_bucket.put(f"in/{name}", body)


def sent(proxy):
    """How often each object of the outputs was written through the proxy."""
    writes = [one for one in proxy.seen() if one.method == "PUT" and "/out/" in one.path]
    keys = [one.path.partition("/out/")[2] for one in writes]
    return Counter(key for key in keys if not key.startswith(".lighterman-check"))


@pytest.mark.parametrize("mounts_secret", [True, False], ids=["mounted", "variables"])
def test_a_job_goes_from_bucket_to_bucket_and_its_pod_ends_by_itself(
    play, job, s3_bucket, inputs, mounts_secret
):
    """Init brings, main works, the sidecar sends what is left once main ended, and nobody waits for ever."""
    pod = play(job(WORK, mounts_secret=mounts_secret).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert s3_bucket.get("out/joined.txt") == b"onetwo"
    assert s3_bucket.keys("out/") == ["out/joined.txt", "out/log.txt"]
    assert pod.order("started", "passed", "ended", "pre-stop") == [
        *("started check", "ended check 0", "started init", "ended init 0"),
        *("started sidecar", "passed sidecar", "started main", "ended main 0"),
        *("pre-stop sidecar 0", "ended sidecar 0"),
    ]
    report = json.loads(pod.message("sidecar"))
    assert (report["command"], report["status"], report["files"]) == ("sidecar", "done", 2)


def test_any_uid_will_do_and_no_container_writes_into_its_image(play, job, s3_bucket, inputs):
    """OpenShift's arbitrary uid, which no passwd file knows, in main and in Lighterman's containers alike."""
    script = f"{WORK}; id -u > /outputs/uid; touch /here 2> /outputs/refused"
    pod = play(job(f"{script}; true", uid=OPENSHIFT_UID).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert s3_bucket.get("out/uid") == f"{OPENSHIFT_UID}\n".encode()
    assert b"Read-only file system" in s3_bucket.get("out/refused")
    assert s3_bucket.get("out/joined.txt") == b"onetwo"


def test_main_logs_in_with_what_a_connection_gives_it(play, job, s3_bucket):
    """``run.connections``: AWS's own library in main finds keys, region and endpoint in its environment."""
    s3_bucket.put("other/a.txt", b"one")
    program = f"""
import botocore.session
client = botocore.session.get_session().create_client("s3")
body = client.get_object(Bucket="{s3_bucket.name}", Key="other/a.txt")["Body"].read()
open("/outputs/read.txt", "wb").write(body)
"""
    documents = job(
        "",
        init=[],
        run={"connections": ["bucket"]},
        container={"command": ["python", "-c", program]},
    ).documents()
    pod = play(documents)
    assert pod.finish() == "Succeeded", pod.account()
    assert s3_bucket.get("out/read.txt") == b"one"


def test_the_outputs_of_a_job_that_fails_are_in_the_bucket_too(play, job, s3_bucket, inputs):
    """The pod has failed by main's exit code, after the sidecar has sent what there was."""
    pod = play(job(f"{WORK}; exit 3").documents())
    assert pod.finish() == "Failed"
    assert pod.codes() == {"check": 0, "init": 0, "sidecar": 0, "main": 3}
    assert s3_bucket.get("out/log.txt") == b"done\n"


def test_a_continued_job_sends_only_what_it_changed(play, job, s3_bucket, proxy):
    """Init brings the outputs of the run before into the outputs path; the sidecar knows them."""
    s3_bucket.put("out/model.ckpt", b"weights" * 1000)
    s3_bucket.put_by_parts("out/large.bin", bytes(9 * MIB))
    s3_bucket.put("out/steps.txt", b"1\n")
    resumes = READS | {"artifacts": {"dirs": [["out", "."]]}, "path": WRITES["path"]}
    script = "test $(stat -c %s /outputs/large.bin) = 9437184 && echo 2 >> /outputs/steps.txt"
    pod = play(job(script, init=[resumes], endpoint=proxy.url).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert sent(proxy) == {"steps.txt": 1}
    assert s3_bucket.get("out/steps.txt") == b"1\n2\n"


def test_an_indexed_jobs_pods_share_out_the_inputs(play, job, s3_bucket):
    """Three pods at once: each has its shard, disjoint and together complete, and a prefix of its own."""
    names = {f"{number:02}.bin" for number in range(30)}
    for name in names:
        s3_bucket.put(f"in/{name}", name.encode() * (1 + int(name[:2])))
    shard = {"index": "$JOB_COMPLETION_INDEX", "count": 3}
    documents = job(
        "ls /data > /outputs/names.txt",
        init=[READS | {"shard": shard}],
        outputs=WRITES | {"to": "out/{index}"},
        run={"completions": 3, "parallelism": 3},
    ).documents()
    pods = [play(documents, index=index) for index in range(3)]
    assert [pod.finish() for pod in pods] == ["Succeeded"] * 3, pods[0].account()
    shards = [s3_bucket.get(f"out/{index}/names.txt").decode().split() for index in range(3)]
    assert all(shards)
    assert sorted(name for shard in shards for name in shard) == sorted(names)


def test_volumes_are_places_too(play, job, s3_bucket, tmp_path):
    """In from a node's directory, out to a claim's: by the same job spec, with no bucket in it."""
    node, claim = tmp_path / "node", tmp_path / "claim"
    (node / "in").mkdir(parents=True)
    (node / "in" / "a.txt").write_text("from the node")
    claim.mkdir()
    connections = [
        {
            "name": "node",
            "kind": "host_path",
            "schema": {"hostPath": str(node), "mountPath": "/mnt/node", "readOnly": True},
        },
        {
            "name": "claim",
            "kind": "volume_claim",
            "schema": {"volumeClaim": "results", "mountPath": "/mnt/results"},
        },
    ]
    documents = job(
        "cp /data/a.txt /outputs/b.txt",
        connections=connections,
        init=[READS | {"connection": "node"}],
        outputs=WRITES | {"connection": "claim"},
    ).documents()
    pod = play(documents, claims={"results": claim})
    assert pod.finish() == "Succeeded", pod.account()
    assert (claim / "out" / "b.txt").read_text() == "from the node"
    assert s3_bucket.keys() == []


def test_an_init_that_meets_trouble_is_started_again_and_does_what_is_left(
    play, job, s3_bucket, inputs, proxy
):
    """``restartPolicy: OnFailure``: 75, then from where it was; main starts once all is there."""
    trouble = threading.Event()
    trouble.set()
    proxy.on(
        lambda request: trouble.is_set() and request.path.endswith("/in/sub/b.txt"),
        slow_down(),
        times=None,
    )
    pod = play(
        job(
            WORK,
            endpoint=proxy.url,
            init_env={"LIGHTERMAN_RETRY_FOR": "1"},
            environment={"restartPolicy": "OnFailure"},
        ).documents()
    )
    pod.wait_for("ended", "init")
    trouble.clear()
    assert pod.finish() == "Succeeded", pod.account()
    assert pod.order("ended")[1] == "ended init 75"
    assert s3_bucket.get("out/joined.txt") == b"onetwo"
    reads = [one for one in proxy.seen() if (one.method, one.path[-9:]) == ("GET", "/in/a.txt")]
    assert len(reads) == 2, "one byte by check, all by init"


def test_large_files_go_both_ways_within_128_mib(play, job, s3_bucket, tmp_path):
    """Init and sidecar have a limit of 128 MiB; nobody is killed, and the bytes are the same."""
    client = s3_bucket.client()
    for number in range(3):
        large = trees.make_large(tmp_path / f"{number}.bin", 150 * MIB, seed=number)
        client.upload_file(str(large), s3_bucket.name, f"in/{number}.bin")
    script = "cd /data && cp *.bin /outputs/ && sha256sum *.bin > /outputs/sums.txt"
    pod = play(job(script).documents())
    assert pod.finish() == "Succeeded", pod.account()
    assert pod.codes() == {"check": 0, "init": 0, "main": 0, "sidecar": 0}
    sums = s3_bucket.get("out/sums.txt").decode().splitlines()
    for number, line in enumerate(sums):
        digest = hashlib.sha256()
        body = client.get_object(Bucket=s3_bucket.name, Key=f"out/{number}.bin")["Body"]
        for chunk in body.iter_chunks(MIB):
            digest.update(chunk)
        body.close()
        assert line == f"{digest.hexdigest()}  {number}.bin"
    client.close()
    assert len(sums) == 3
