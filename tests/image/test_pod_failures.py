"""What goes wrong in pods: logins, kills, limits."""

import hashlib
import json
import urllib.request
from collections import Counter

import pytest
from kubelet_rules import action_on_failure
from servers.faults import Slow
from waiting import eventually

pytestmark = pytest.mark.image

MIB = 1024 * 1024


def is_output(request):
    """A write of an object of the outputs, or of a part of one."""
    return request.method == "PUT" and "/out/" in request.path and "-check-" not in request.path


def test_wrong_credentials_fail_the_pod_before_anything_is_started(play, job, account):
    """``check`` ends with 77, its report is the message, and with --failure-policy the Job gives up."""
    bucket = account.bucket()
    pod = play(job("true", bucket=bucket, flags=("--failure-policy",)).documents())
    assert pod.finish() == "Failed"
    assert pod.order("started", "ended") == ["started check", "ended check 77"]
    report = json.loads(pod.message("check"))
    assert (report["command"], report["error"]["kind"]) == ("check", "credentials")
    policy = pod.manifest.workload.spec.pod_failure_policy
    assert action_on_failure(policy, pod.codes()) == "FailJob"
    assert action_on_failure(policy, {"check": 75}) != "FailJob"


def test_a_missing_source_fails_the_pod_before_it_is_scheduled_for_long(play, job, s3_bucket):
    """``check`` looks for every declared directory: 66, and main never starts."""
    pod = play(job("true").documents())
    assert pod.finish() == "Failed"
    assert pod.codes() == {"check": 66}
    assert "in" in json.loads(pod.message("check"))["error"]["message"]


def test_a_sidecar_that_is_killed_goes_on_from_its_journal(
    play, job, s3_bucket, proxy, closed_port
):
    """Started again while main runs, it loses nothing and sends nothing twice; the log doesn't name a secret."""
    names = [f"{number}.txt" for number in range(20)]
    script = """
    for n in 0 1 2 3 4 5 6 7 8 9; do echo $n > /outputs/$n.txt; done
    while [ ! -e /outputs/go ]; do sleep 0.1; done; rm /outputs/go
    for n in 10 11 12 13 14 15 16 17 18 19; do echo $n > /outputs/$n.txt; done
    """
    listen = {"LIGHTERMAN_LISTEN": f"127.0.0.1:{closed_port}", "LIGHTERMAN_EXCLUDE": "go"}
    pod = play(job(script, init=[], endpoint=proxy.url, sidecar_env=listen).documents())
    pod.wait_for("started", "main")
    eventually(lambda: len(s3_bucket.keys("out/")) == 10)
    flush = urllib.request.Request(f"http://127.0.0.1:{closed_port}/flush", method="POST")
    with urllib.request.urlopen(flush, timeout=30) as answer:
        assert answer.status == 200
    pod.kill("sidecar")
    pod.wait_for("started", "sidecar", 2)
    (pod.volumes.source("outputs") / "go").touch()
    assert pod.finish() == "Succeeded", pod.account()
    assert [one.status.code for one in pod.instances if one.container == "sidecar"] == [137, 0]
    sent = Counter(one.path.rpartition("/")[2] for one in proxy.seen(is_output))
    assert sent == dict.fromkeys(names, 1)
    assert {key: s3_bucket.get(key) for key in s3_bucket.keys("out/")} == {
        f"out/{name}": f"{name.removesuffix('.txt')}\n".encode() for name in names
    }


def test_a_sidecar_that_is_killed_in_a_large_upload_sends_the_missing_parts(
    play, job, s3_bucket, proxy
):
    """At most the parts that were in flight go twice."""
    proxy.on(is_output, Slow(8 * MIB), times=None)
    script = (
        "head -c 67108864 /dev/urandom > /outputs/l.bin; sha256sum < /outputs/l.bin > /outputs/sum"
    )
    pod = play(
        job(
            f"{script}; while [ ! -e /outputs/go ]; do sleep 0.1; done; rm /outputs/go",
            init=[],
            endpoint=proxy.url,
        ).documents()
    )
    pod.wait_for("started", "main")

    def answered():
        return [one for one in proxy.seen(is_output) if "partNumber" in one.query and one.status]

    eventually(lambda: len(answered()) >= 3)
    pod.kill("sidecar")
    pod.wait_for("started", "sidecar", 2)
    (pod.volumes.source("outputs") / "go").touch()
    assert pod.finish() == "Succeeded", pod.account()
    parts = [one for one in proxy.seen(is_output) if "partNumber" in one.query]
    assert 8 <= len(parts) <= 8 + 4
    digest = hashlib.sha256(s3_bucket.get("out/l.bin")).hexdigest()
    assert s3_bucket.get("out/sum").decode().split()[0] == digest


def test_a_sidecar_that_is_killed_again_and_again_loses_nothing(play, job, s3_bucket):
    """While main writes, renames and deletes; each start goes on from the same journal."""
    script = """
    for n in $(seq 300); do
        echo $n > /outputs/new.tmp && mv /outputs/new.tmp /outputs/$n.txt
        [ $((n % 3)) != 0 ] || mv /outputs/$n.txt /outputs/moved-$n.txt
        sleep 0.02
    done
    while [ ! -e /outputs/go.tmp ]; do sleep 0.1; done; rm /outputs/go.tmp
    """
    pod = play(job(script, init=[]).documents())
    pod.wait_for("started", "main")
    for kill in range(1, 4):
        pod.wait_for("passed", "sidecar", kill)
        pod.kill("sidecar")
        pod.wait_for("ended", "sidecar", kill)
    (pod.volumes.source("outputs") / "go.tmp").touch()
    assert pod.finish() == "Succeeded", pod.account()
    wanted = {
        f"out/moved-{n}.txt" if n % 3 == 0 else f"out/{n}.txt": f"{n}\n".encode()
        for n in range(1, 301)
    }
    found = {key: s3_bucket.get(key) for key in s3_bucket.keys("out/")}
    assert {key: found.get(key) for key in wanted} == wanted
    # Nothing is deleted: a file may have been sent before it was renamed.
    left = {key: body for key, body in found.items() if key not in wanted}
    assert left == {
        f"out/{n}.txt": f"{n}\n".encode() for n in range(3, 301, 3) if f"out/{n}.txt" in left
    }
