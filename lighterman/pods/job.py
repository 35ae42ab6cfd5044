"""The Job itself: its pod, its counts and limits, and when it fails for good."""

from collections.abc import Mapping
from typing import Any, Final

from lighterman.errors import ExitCode
from lighterman.pods.containers import CHECK, INIT, SIDECAR, Containers, Setting
from lighterman.pods.documents import plain
from lighterman.pods.read import Written
from lighterman.pods.security import pod_context

PERMANENT: Final = tuple(
    int(code)
    for code in (
        ExitCode.USAGE,
        ExitCode.UNTRUSTED_DATA,
        ExitCode.SOURCE_MISSING,
        ExitCode.REFUSED,
        ExitCode.CONFIGURATION,
    )
)
"""Codes of which another pod would end with the same. Not 73: another node may have the space."""
NAME_LABEL: Final = "app.kubernetes.io/name"
DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_POD_FIELDS: Final = ("labels", "annotations", "securityContext", "imagePullSecrets")
"""Of the environment, those that aren't fields of the pod's spec as they stand."""


def job_of(setting: Setting, pod: dict[str, Any], *, failure_policy: bool) -> dict[str, Any]:
    """
    The Job of a pod. ``failure_policy`` ends it at once for what every pod would fail with. ``ConfigurationError``
    for what is said twice, and for a policy that can't be.
    """
    written, run = setting.written, setting.written.run
    not_native = bool(written.spec.outputs) and not setting.end.is_native
    environment = written.environment
    template: dict[str, Any] = {
        "metadata": {
            "labels": {NAME_LABEL: written.name, **(environment.labels or {})},
            "annotations": {
                # Else kubectl takes the first one, which an ordinary sidecar is.
                **({DEFAULT_CONTAINER: written.run.container.name} if not_native else {}),
                **(environment.annotations or {}),
            },
        },
        "spec": pod,
    }
    template["metadata"] = {name: value for name, value in template["metadata"].items() if value}
    spec: dict[str, Any] = {
        "completions": run.completions,
        "completionMode": "Indexed" if written.is_indexed else None,
        "parallelism": run.completions if run.parallelism is None else run.parallelism,
        "backoffLimit": _one_of(written, "backoffLimit", run.backoff_limit, "maxRetries"),
        "backoffLimitPerIndex": run.backoff_limit_per_index,
        "maxFailedIndexes": run.max_failed_indexes,
        "activeDeadlineSeconds": _one_of(
            written, "activeDeadlineSeconds", run.active_deadline_seconds, "timeout"
        ),
        "ttlSecondsAfterFinished": _one_of(
            written, "ttlSecondsAfterFinished", run.ttl_seconds_after_finished, "ttl"
        ),
        "suspend": run.suspend,
        # An index, or a run, that is replaced has never two pods that write at once.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": _failure_policy(setting, pod) if failure_policy else None,
        "template": template,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata_of(written, written.name),
        "spec": {name: value for name, value in spec.items() if value is not None},
    }


def _one_of(written: Written, field: str, said: int | None, its_name: str) -> int | None:
    other = plain(written.termination).get(its_name)
    if said is not None and other is not None:
        written.fail(
            f"termination.{its_name}",
            f"stands beside {written.place(field)}, which means the same",
            "keep one of them",
        )
    found: int | None = other if said is None else said
    return found


def _failure_policy(setting: Setting, pod: Mapping[str, Any]) -> dict[str, Any]:
    """
    Codes that mean the same in every pod end the Job; a disruption costs no retry
    (https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy).
    """
    written = setting.written
    if pod["restartPolicy"] != "Never":
        written.fail(
            written.place("environment", "restartPolicy"),
            "a failure policy needs Never",
            "take --failure-policy away, or restart pods instead of containers: each gets new volumes then",
        )
    names = [one["name"] for one in pod.get("initContainers", ()) if one["name"] in (CHECK, INIT)]
    names += [one["name"] for one in pod["containers"] if one["name"] == SIDECAR]
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    codes = {"operator": "In", "values": list(PERMANENT)}
    rules: list[dict[str, Any]] = [{"action": "Ignore", "onPodConditions": [disrupted]}]
    rules += [
        {"action": "FailJob", "onExitCodes": {"containerName": name, **codes}} for name in names
    ]
    return {"rules": rules}


def pod_of(setting: Setting, containers: Containers) -> dict[str, Any]:
    """The pod's spec."""
    written = setting.written
    environment = plain(written.environment)
    fields = {name: value for name, value in environment.items() if name not in _POD_FIELDS}
    pod: dict[str, Any] = {"restartPolicy": fields.pop("restartPolicy", "Never")}
    if written.spec.outputs:
        pod["terminationGracePeriodSeconds"] = setting.grace_seconds
    if setting.end.process and written.spec.outputs:
        pod["shareProcessNamespace"] = True
    pod |= fields
    secrets = written.environment.image_pull_secrets
    if secrets:
        pod["imagePullSecrets"] = [
            {"name": secret} if isinstance(secret, str) else secret for secret in secrets
        ]
    pod["securityContext"] = pod_context(written, setting.user)
    if containers.init:
        pod["initContainers"] = containers.init
    pod["containers"] = containers.main
    pod["volumes"] = setting.volumes.members()
    return pod


def metadata_of(written: Written, name: str) -> dict[str, Any]:
    """Of an object that is made for a job."""
    top = written.top
    found: dict[str, Any] = {
        "name": name,
        "namespace": top.namespace,
        "labels": {NAME_LABEL: written.name, **(top.labels or {})},
        "annotations": dict(top.annotations or {}),
    }
    return {member: value for member, value in found.items() if value}
