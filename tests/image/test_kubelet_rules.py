"""The rules of the small kubelet, without a container. What they do is tried in ``test_kubelet.py``."""

import msgspec
import pytest
from kubelet_documents import Container, FailurePolicy, ManifestError, PodSpec, read
from kubelet_manifest import Manifest
from kubelet_rules import (
    Status,
    Step,
    action_on_failure,
    environment,
    expand,
    grace_left,
    grace_of_stop,
    next_step,
    phase,
    quantity_bytes,
    termination_message,
    waits_for,
)

RUNS = Status(running=True, passed=True)
STARTS = Status(running=True)
DONE = Status(running=False, passed=True, code=0)
FAILED = Status(running=False, passed=True, code=1)


def pod(init=("check", "init", "sidecar*"), main=("main",), policy="Never", **fields):
    """A pod of containers by name; a star makes a sidecar."""
    return msgspec.convert(
        {
            "initContainers": [
                {"name": name.rstrip("*"), "image": "i"}
                | ({"restartPolicy": "Always"} if name.endswith("*") else {})
                for name in init
            ],
            "containers": [{"name": name, "image": "i"} for name in main],
            "restartPolicy": policy,
            **fields,
        },
        PodSpec,
    )


def container(**fields):
    return msgspec.convert({"name": "one", "image": "i", **fields}, Container)


@pytest.mark.parametrize(
    ("statuses", "step"),
    [
        ({}, Step(("check",))),
        ({"check": STARTS}, Step()),
        ({"check": DONE}, Step(("init",))),
        ({"check": FAILED}, Step(ends=True)),
        ({"check": DONE, "init": DONE}, Step(("sidecar",))),
        ({"check": DONE, "init": DONE, "sidecar": STARTS}, Step()),
        ({"check": DONE, "init": DONE, "sidecar": FAILED}, Step(("sidecar",))),
        ({"check": DONE, "init": DONE, "sidecar": DONE}, Step(("sidecar",))),
        ({"check": DONE, "init": DONE, "sidecar": RUNS}, Step(("main",))),
        ({"check": DONE, "init": DONE, "sidecar": RUNS, "main": RUNS}, Step()),
        ({"check": DONE, "init": DONE, "sidecar": FAILED, "main": RUNS}, Step(("sidecar",))),
        ({"check": DONE, "init": DONE, "sidecar": STARTS, "main": RUNS}, Step()),
        ({"check": DONE, "init": DONE, "sidecar": RUNS, "main": DONE}, Step(ends=True)),
        ({"check": DONE, "init": DONE, "sidecar": RUNS, "main": FAILED}, Step(ends=True)),
        ({"check": DONE, "init": DONE, "sidecar": FAILED, "main": DONE}, Step(("sidecar",))),
    ],
)
def test_containers_start_one_after_another_and_sidecars_are_kept(statuses, step):
    """Init containers in sequence, a sidecar once its probe passed, main; then the pod ends with main."""
    assert step == next_step(pod(), statuses)


@pytest.mark.parametrize(
    ("policy", "status", "step"),
    [
        ("Never", FAILED, Step(ends=True)),
        ("OnFailure", FAILED, Step(("main",))),
        ("OnFailure", DONE, Step(ends=True)),
        ("Always", DONE, Step(("main",))),
    ],
)
def test_main_is_restarted_as_its_pod_says(policy, status, step):
    """``restartPolicy`` decides by the exit code."""
    assert step == next_step(pod(["sidecar*"], policy=policy), {"sidecar": RUNS, "main": status})


def test_an_init_container_is_restarted_unless_its_pod_never_is():
    """With ``OnFailure`` a failed init container is tried again, and nothing after it starts."""
    assert Step(("check",)) == next_step(pod(policy="OnFailure"), {"check": FAILED})


def test_a_sidecar_before_an_init_container_is_kept_while_that_runs():
    """It was waited for once; when it ends it is started again, and the init container goes on."""
    given = pod(["sidecar*", "init"])
    assert Step(("init",)) == next_step(given, {"sidecar": RUNS})
    assert Step(("sidecar",)) == next_step(given, {"sidecar": FAILED, "init": STARTS})
    assert Step(("main",)) == next_step(given, {"sidecar": STARTS, "init": DONE})


def test_several_main_containers_start_together_and_end_the_pod_together():
    """One of two that ended doesn't end the pod."""
    given = pod(["sidecar*"], ["one", "two"])
    assert Step(("one", "two")) == next_step(given, {"sidecar": RUNS})
    assert Step() == next_step(given, {"sidecar": RUNS, "one": DONE, "two": RUNS})
    assert Step(ends=True) == next_step(given, {"sidecar": RUNS, "one": DONE, "two": DONE})


@pytest.mark.parametrize(
    ("running", "waits"),
    [
        (
            ["a", "b", "main"],
            {"a": ("main", "b"), "b": ("main",), "main": ()},
        ),
        (["a", "b"], {"a": ("b",), "b": ()}),
        (["a", "main"], {"a": ("main",), "main": ()}),
        (["init", "a"], {"init": (), "a": ()}),
        ([], {}),
    ],
)
def test_sidecars_are_told_after_main_in_reverse_order(running, waits):
    """Whoever doesn't run isn't waited for."""
    assert waits == waits_for(pod(["a*", "init", "b*"]), running)


def test_without_sidecars_all_are_told_at_once():
    """An ordinary sidecar's SIGTERM comes with main's."""
    given = pod([], ["main", "sidecar"])
    assert {"main": (), "sidecar": ()} == waits_for(given, ["main", "sidecar"])


@pytest.mark.parametrize(
    ("grace", "used", "left", "to_kill"),
    [(30, 0.9, 30, 30), (30, 1.0, 29, 29), (30, 28.7, 2, 2), (30, 30.0, 0, 2), (1, 0.0, 1, 2)],
)
def test_what_is_left_of_the_grace_is_counted_in_whole_seconds_and_never_less_than_two(
    grace, used, left, to_kill
):
    """Used time is cut to whole seconds, to the container's advantage."""
    assert (left, to_kill) == (grace_left(grace, used), grace_of_stop(grace_left(grace, used)))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({"check": DONE, "init": DONE, "sidecar": FAILED, "main": DONE}, "Succeeded"),
        ({"check": DONE, "init": DONE, "sidecar": DONE, "main": FAILED}, "Failed"),
        ({"check": FAILED}, "Failed"),
        ({"check": DONE, "init": DONE, "sidecar": DONE}, "Failed"),
    ],
)
def test_a_sidecars_exit_code_never_fails_the_pod(statuses, expected):
    """Init containers and main decide."""
    assert expected == phase(pod(), statuses, ended=True)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$$(A)", "$(A)"),
        ("$(NOT)", "$(NOT)"),
        ("$A ${A}", "$A ${A}"),
        ("$(A", "$(A"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_are_expanded(text, expanded):
    """https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/"""
    assert expanded == expand(text, {"A": "1", "B": "2"})


DOCUMENTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {REGION: eu, MODE: slow}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {ID: aWQ=}
stringData: {KEY: word}
---
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  completions: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: i}]
"""


def test_variables_come_from_sources_in_their_order():
    """``env`` wins over ``envFrom``, a later source over an earlier one, and values see what is before them."""
    manifest = Manifest(DOCUMENTS)
    fields = manifest.fields(2)
    given = container(
        envFrom=[
            {"configMapRef": {"name": "settings"}},
            {"secretRef": {"name": "keys"}, "prefix": "S_"},
            {"secretRef": {"name": "nowhere", "optional": True}},
        ],
        env=[
            {"name": "MODE", "value": "fast-$(REGION)-$(LATER)"},
            {"name": "LATER", "value": "1"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "KEY"}}},
            {
                "name": "NONE",
                "valueFrom": {"secretKeyRef": {"name": "keys", "key": "NO", "optional": True}},
            },
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    )
    assert environment(given, fields, manifest.config_maps, manifest.secrets) == {
        "REGION": "eu",
        "S_ID": "id",
        "S_KEY": "word",
        "MODE": "fast-eu-$(LATER)",
        "LATER": "1",
        "KEY": "word",
        "POD": fields["metadata.name"],
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"envFrom": [{"secretRef": {"name": "nowhere"}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "NO"}}}]},
        {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "NO"}}}]},
        {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]},
    ],
)
def test_a_container_whose_variables_are_missing_is_not_created(fields):
    """Only ``optional`` sources may be missing."""
    manifest = Manifest(DOCUMENTS)
    with pytest.raises(ManifestError):
        environment(container(**fields), {}, manifest.config_maps, manifest.secrets)


def test_a_pod_of_an_indexed_job_is_called_after_its_index():
    """Its name, an annotation and a label tell it."""
    fields = Manifest(DOCUMENTS).fields(2)
    assert fields["metadata.name"].startswith("train-2-")
    assert fields["metadata.labels['batch.kubernetes.io/job-completion-index']"] == "2"


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ("image: i", "image: i, livenessProbe: {}", "livenessProbe"),
        ("restartPolicy: Never", "hostPID: true", "hostPID"),
        ("restartPolicy: Never", "dnsPolicy: Default", "dnsPolicy"),
        ("kind: Job", "kind: Deployment", "Deployment"),
        ("containers: [{", "containers: [{securityContext: {privileged: true}, ", "privileged"),
    ],
)
def test_a_field_that_is_not_known_is_refused_by_name(was, becomes, named):
    """Nothing in a manifest passes unseen."""
    with pytest.raises(ManifestError, match=named):
        read(DOCUMENTS.replace(was, becomes))


def test_a_job_whose_pods_always_restart_is_refused():
    """As the API server does."""
    with pytest.raises(ManifestError, match="OnFailure or Never"):
        _ = Manifest(DOCUMENTS.replace("restartPolicy: Never", "restartPolicy: Always")).pod


@pytest.mark.parametrize(
    ("text", "number"), [("128Mi", 134217728), ("1Gi", 2**30), ("5M", 5_000_000), (7, 7)]
)
def test_quantities_are_bytes(text, number):
    """Binary and decimal units."""
    assert number == quantity_bytes(text)


def test_a_failure_policy_acts_by_the_first_rule_that_matches():
    """Exit code 0 matches nothing, and no rule means that the failure counts."""
    policy = msgspec.convert(
        {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "init", "operator": "In", "values": [77, 78]},
                },
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
                {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}},
            ]
        },
        FailurePolicy,
    )
    assert action_on_failure(policy, {"check": 0, "init": 77}) == "FailJob"
    assert action_on_failure(policy, {"main": 77}) == "Count"
    assert action_on_failure(policy, {"init": 75}) == "Ignore"


def test_the_end_of_the_log_is_the_message_where_the_policy_says_so():
    """Only of a container that failed and noted nothing."""
    falls_back = container(terminationMessagePolicy="FallbackToLogsOnError")
    assert termination_message(falls_back, b"", "a\nb\n", 1) == "a\nb\n"
    assert termination_message(falls_back, b"noted", "a\n", 1) == "noted"
    assert termination_message(falls_back, b"", "a\n", 0) == ""
    assert termination_message(container(), b"", "a\n", 1) == ""
