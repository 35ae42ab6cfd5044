"""The small kubelet, with real containers: what the other tests of this folder stand on."""

import pytest
import yaml
from jobs import IMAGE
from kubelet_documents import ManifestError
from pods import podman

pytestmark = pytest.mark.image

SLOW_SECONDS = 15
"""What podman's own calls may take on a busy machine."""
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def container(name, script, **fields):
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


def sidecar(name, script, **fields):
    return container(name, script, restartPolicy="Always", **fields)


def pod(init, main, **fields):
    spec = {"restartPolicy": "Never", "initContainers": init, "containers": main, **fields}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lighterman-test"},
        "spec": spec,
    }


def probe(command, **fields):
    return {"exec": {"command": ["sh", "-c", command]}, "timeoutSeconds": 10, **fields}


SHARED = {"volumes": [{"name": "shared", "emptyDir": {}}]}
MOUNTS = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}


def test_a_sidecar_is_waited_for_by_its_probe_and_told_after_main(play):
    """Sequence, startup probe, preStop at once, SIGTERM in reverse order of the start."""
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["touch", "/shared/hook"]}}}}
    played = play(
        [
            pod(
                [
                    sidecar("one", WAITS),
                    container("first", "sleep 0.3"),
                    sidecar(
                        "two",
                        f"sleep 0.5; touch /shared/up; {WAITS}",
                        startupProbe=probe("test -e /shared/up", periodSeconds=1),
                        **hook,
                        **MOUNTS,
                    ),
                ],
                [
                    container(
                        "main",
                        "ls /shared; trap 'ls /shared; exit 4' TERM; sleep 60 & wait",
                        **MOUNTS,
                    )
                ],
                terminationGracePeriodSeconds=20,
                **SHARED,
            )
        ]
    )
    played.wait_for("started", "main")
    assert played.delete() == "Failed"
    assert played.order("started", "passed", "ended") == [
        "started one",
        "started first",
        "ended first 0",
        "started two",
        "passed two",
        "started main",
        "ended main 4",
        "ended two 0",
        "ended one 0",
    ]
    assert played.order("pre-stop") == ["pre-stop two 0"]
    told = [one for one in played.happenings if one.what == "told"]
    assert [one.container for one in told] == ["main", "two", "one"]
    # What the others took is taken off, second by second.
    grace = [one.detail for one in told]
    assert grace[0] == 20
    assert grace == sorted(grace, reverse=True)
    assert played.log("main").split()[0] == "up"


def test_a_container_that_ignores_its_end_is_killed_and_the_next_one_has_two_seconds(play):
    """Main's SIGKILL comes with the end of the grace; the sidecar has the least that a container gets."""
    played = play(
        [
            pod(
                [sidecar("aside", "trap '' TERM; while :; do sleep 0.05; done")],
                [container("main", "trap '' TERM; while :; do sleep 0.05; done")],
                terminationGracePeriodSeconds=3,
            )
        ]
    )
    played.wait_for("started", "main")
    assert played.delete() == "Failed"
    assert sorted(played.order("told", "ended")) == [
        *("ended aside 137", "ended main 137", "told aside 2", "told main 3")
    ]
    at = {(one.what, one.container): one.seconds for one in played.happenings}
    assert 2.9 < at["told", "aside"] - at["told", "main"] < 3 + SLOW_SECONDS
    assert 1.9 < at["ended", "aside"] - at["told", "aside"] < 2 + SLOW_SECONDS


def test_what_ended_is_started_again_as_its_policy_says(play):
    """A sidecar always, main after a failure, an init container until it succeeds; volumes stay."""
    once = "test -e /shared/{0} || {{ touch /shared/{0}; exit 1; }}"
    played = play(
        [
            pod(
                [
                    container("first", once.format("first"), **MOUNTS),
                    sidecar("aside", f"{once.format('aside')}; {WAITS}", **MOUNTS),
                ],
                [container("main", f"sleep 2; {once.format('main')}", **MOUNTS)],
                restartPolicy="OnFailure",
                **SHARED,
            )
        ]
    )
    assert played.finish() == "Succeeded"
    for name in ("first", "aside", "main"):
        codes = [one.status.code for one in played.instances if one.container == name]
        assert codes == [1, 0], name


def test_a_sidecar_whose_probe_fails_is_stopped_and_started_again(play):
    """After ``failureThreshold`` failures in a row."""
    script = f"test -e /shared/again && touch /shared/up; touch /shared/again; {WAITS}"
    played = play(
        [
            pod(
                [
                    sidecar(
                        "aside",
                        script,
                        startupProbe=probe(
                            "test -e /shared/up", periodSeconds=1, failureThreshold=2
                        ),
                        **MOUNTS,
                    )
                ],
                [container("main", "true")],
                restartPolicy="OnFailure",
                **SHARED,
            )
        ]
    )
    assert played.finish() == "Succeeded"
    assert played.order("failed probe", "started", "passed")[:5] == [
        "started aside",
        "failed probe aside 1",
        "failed probe aside 1",
        "started aside",
        "passed aside",
    ]


LOOKS = """
import json, os, sys
def state(path):
    found = os.stat(path)
    return [found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)]
status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def writable(path):
    try:
        open(path + "/probe", "w").close()
    except OSError as error:
        return os.strerror(error.errno)
    return True
json.dump({
    "ids": [os.getuid(), os.getgid(), sorted(os.getgroups())],
    "capabilities": [status["CapEff"], status["CapBnd"]],
    "no_new_privileges": status["NoNewPrivs"],
    "secret": [*state("/secret/KEY"), open("/secret/KEY").read()],
    "chosen": [*state("/chosen/sub/key"), sorted(os.listdir("/chosen"))],
    "empty": state("/empty"),
    "memory": os.statvfs("/memory").f_blocks * os.statvfs("/memory").f_frsize,
    "writable": {path: writable(path) for path in ("/", "/tmp", "/empty", "/part", "/read", "/secret")},
    "environment": {name: os.environ.get(name) for name in ("A", "B", "ME", "KEY", "NONE", "X_REGION")},
    "arguments": sys.argv[1:],
}, sys.stdout)
open("/dev/termination-log", "w").write("noted")
"""


def test_a_container_gets_what_the_manifest_says(play, tmp_path):
    """Users, groups, modes, capabilities, a read-only root, volumes, variables, arguments, the message."""
    host = tmp_path / "host"
    host.mkdir()
    host.chmod(0o777)
    volumes = [
        *SHARED["volumes"],
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "secret", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {
            "name": "chosen",
            "configMap": {"name": "settings", "items": [{"key": "REGION", "path": "sub/key"}]},
        },
        {"name": "host", "hostPath": {"path": str(host), "type": "Directory"}},
    ]
    mounts = [
        {"name": "shared", "mountPath": "/empty"},
        {"name": "shared", "mountPath": "/part", "subPath": "a/b"},
        {"name": "host", "mountPath": "/read", "readOnly": True},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "chosen", "mountPath": "/chosen"},
    ]
    main = {
        "name": "main",
        "image": IMAGE,
        "command": ["python", "-c", LOOKS],
        "args": ["$(A)", "$$(A)"],
        "env": [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)$(X_REGION)"},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "KEY"}}},
        ],
        "envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}],
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    played = play(
        [
            pod(
                [],
                [main],
                volumes=volumes,
                securityContext={
                    "runAsUser": 1000640000,
                    "runAsGroup": 7,
                    "fsGroup": 9,
                    "runAsNonRoot": True,
                },
            ),
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "keys"},
                "stringData": {"KEY": "word"},
            },
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "settings"},
                "data": {"REGION": "eu"},
            },
        ]
    )
    assert played.finish() == "Succeeded", played.account()
    read_only = "Read-only file system"
    assert yaml.safe_load(played.log("main")) == {
        "ids": [1000640000, 7, [7, 9]],
        "capabilities": ["0000000000000000"] * 2,
        "no_new_privileges": "1",
        "secret": [0, 9, "0o440", "word"],
        "chosen": [0, 9, "0o644", ["..2026_11_27_00_00_00.000000001", "..data", "sub"]],
        "empty": [0, 9, "0o2777"],
        "memory": 16 << 20,
        "writable": {
            "/": read_only,
            "/tmp": read_only,
            "/empty": True,
            "/part": True,
            "/read": read_only,
            "/secret": read_only,
        },
        "environment": {
            "A": "1",
            "B": "1eu",
            "ME": "default",
            "KEY": "word",
            "NONE": None,
            "X_REGION": "eu",
        },
        "arguments": ["1", "$(A)"],
    }
    assert played.message("main") == "noted"


def test_a_limit_of_memory_kills(play):
    """137, as the kernel ends it."""
    eats = container(
        "main",
        "exec python -c 'x = bytearray(400 << 20)'",
        resources={"limits": {"memory": "64Mi"}},
    )
    played = play([pod([], [eats])])
    assert played.finish() == "Failed"
    assert played.code("main") == 137


def test_a_shared_process_namespace_shows_all_of_the_pods_processes(play):
    """And without one a container sees its own alone."""
    looks = "for one in /proc/[0-9]*; do cat $one/cmdline | tr '\\0' ' '; echo; done"
    aside = sidecar("aside", WAITS.replace("0.05", "0.0625"))
    for shares in (True, False):
        played = play([pod([aside], [container("main", looks)], shareProcessNamespace=shares)])
        assert played.finish() == "Succeeded"
        assert ("0.0625" in played.log("main")) is shares


def test_who_must_not_be_root_is_not_started_as_root(play):
    """``runAsNonRoot`` is held against the user that the container would have."""
    played = play(
        [pod([], [container("main", "id")], securityContext={"runAsNonRoot": True, "runAsUser": 0})]
    )
    with pytest.raises(ManifestError, match="runAsNonRoot"):
        played.finish()


def test_nothing_stays_of_a_pod_that_is_removed(play):
    """No container and no mount, whenever it is removed."""
    volumes = [{"name": "shared", "emptyDir": {"medium": "Memory"}}]
    played = play([pod([sidecar("aside", WAITS)], [container("main", WAITS)], volumes=volumes)])
    played.wait_for("started", "aside")
    played.remove()
    names = podman("ps", "--all", "--format", "{{.Names}}").split()
    assert [name for name in names if name.startswith(played.name)] == []
    with open("/proc/mounts") as mounts:
        assert str(played.volumes.source("shared")) not in mounts.read()
