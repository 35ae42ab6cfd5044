"""
What a kubelet decides, without doing it: which container is started next, whose turn it is to stop,
how much of the grace is left, what an environment expands to.

Each function names where Kubernetes says so. "kuberuntime" is pkg/kubelet/kuberuntime in Kubernetes'
sources.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubelet_documents import (
    ConfigMap,
    Container,
    FailurePolicy,
    InitContainer,
    ManifestError,
    PodSpec,
    Secret,
)

LEAST_GRACE_SECONDS = 2
"""``minimumGracePeriodInSeconds`` of kuberuntime_container.go."""
LOG_TAIL_LINES, LOG_TAIL_BYTES, MESSAGE_BYTES = 80, 2048, 4096
"""https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/"""


@dataclass(frozen=True)
class Status:
    """A container that was started at least once."""

    running: bool
    passed: bool = False
    """Its startup probe succeeded, or it has none."""
    code: int | None = None


@dataclass(frozen=True)
class Step:
    """What to do now."""

    start: tuple[str, ...] = ()
    ends: bool = False
    """The pod has run: whatever of it still runs is stopped."""


def next_step(pod: PodSpec, statuses: Mapping[str, Status]) -> Step:
    """
    ``computePodActions`` and ``computeInitContainerActions`` of kuberuntime: init containers one after
    another, the next one once the last ended with 0 or, of a sidecar, once its startup probe passed;
    a sidecar that ended is started again; one init container that fails fails a pod that never restarts.

    As there, a sidecar that has just ended is started again before anybody looks at whether main has
    ended too: the pod ends one round later.
    """
    first = _initializing(pod, statuses)
    if first is not None:
        return first

    kept = _ended_sidecars(pod.init_containers, statuses)
    started = [name for name in _names(pod.containers) if _is_due(pod, statuses.get(name))]
    keeps = any(_runs(statuses, name) for name in _names(pod.containers))
    if not keeps and not started:
        return Step(ends=True)
    return Step((*kept, *started))


def _initializing(pod: PodSpec, statuses: Mapping[str, Status]) -> Step | None:
    """What comes before main may start; ``None`` when it may, or runs."""
    if any(_runs(statuses, name) for name in _names(pod.containers)) or not pod.init_containers:
        return None
    begun = [number for number, own in enumerate(pod.init_containers) if own.name in statuses]
    if not begun:
        return Step((pod.init_containers[0].name,))

    *before, last = pod.init_containers[: begun[-1] + 1]
    kept = _ended_sidecars(before, statuses)
    status = statuses[last.name]
    following = pod.init_containers[begun[-1] + 1 :]
    if status.running:
        if not (last.is_sidecar and status.passed):
            return Step(kept)
    elif last.is_sidecar:
        return Step((*kept, last.name))
    elif status.code != 0:
        return Step(ends=True) if pod.restart_policy == "Never" else Step((*kept, last.name))
    return Step((*kept, following[0].name)) if following else None


def _ended_sidecars(
    containers: Iterable[InitContainer], statuses: Mapping[str, Status]
) -> tuple[str, ...]:
    return tuple(own.name for own in containers if own.is_sidecar and not _runs(statuses, own.name))


def _is_due(pod: PodSpec, status: Status | None) -> bool:
    """``ShouldContainerBeRestarted`` of pkg/kubelet/container/helpers.go."""
    if status is None:
        return True
    if status.running or pod.restart_policy == "Never":
        return False
    return pod.restart_policy == "Always" or status.code != 0


def _names(containers: Iterable[Container]) -> list[str]:
    return [container.name for container in containers]


def _runs(statuses: Mapping[str, Status], name: str) -> bool:
    return name in statuses and statuses[name].running


def waits_for(pod: PodSpec, running: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """
    For each running container those whose end it waits for before it is told to stop: a sidecar waits for
    all main containers and for the sidecar after it; whoever doesn't run isn't waited for. Without a
    sidecar in the pod nobody waits (kuberuntime_termination_order.go).
    """
    alive = set(running)
    main = [name for name in _names(pod.containers) if name in alive]
    waits: dict[str, tuple[str, ...]] = dict.fromkeys(sorted(alive), ())
    after: str | None = None
    for own in reversed(pod.init_containers):
        if own.is_sidecar:
            if own.name in alive:
                waits[own.name] = (*main, *([after] if after in alive and after else []))
            after = own.name
    return waits


def grace_left(grace_seconds: int, used_seconds: float) -> int:
    """Whole seconds, and what was used is cut to whole seconds too (``killContainer``)."""
    return grace_seconds - int(used_seconds)


def grace_of_stop(left_seconds: int) -> int:
    """From SIGTERM to SIGKILL: what is left, but never less than the least (``killContainer``)."""
    return max(LEAST_GRACE_SECONDS, left_seconds)


def phase(pod: PodSpec, statuses: Mapping[str, Status], *, ended: bool) -> str:
    """
    The pod's phase (``getPhase`` of pkg/kubelet/kubelet_pods.go): a sidecar's exit code never counts;
    a pod that was ended before its main containers ran has failed.
    """
    if not ended:
        started = any(name in statuses for name in _names(pod.containers))
        return "Running" if started else "Pending"
    for own in pod.init_containers:
        if not own.is_sidecar and (own.name not in statuses or statuses[own.name].code != 0):
            return "Failed"
    codes = [statuses[name].code if name in statuses else None for name in _names(pod.containers)]
    return "Succeeded" if all(code == 0 for code in codes) else "Failed"


def action_on_failure(policy: FailurePolicy, codes: Mapping[str, int]) -> str:
    """
    What a Job does about a failed pod: the action of the first rule that one of its containers' exit codes
    matches (0 never does), else ``Count`` (https://kubernetes.io/docs/concepts/workloads/controllers/job/,
    "Pod failure policy"). Rules about conditions never match here: nobody sets one.
    """
    for rule in policy.rules:
        wanted = rule.on_exit_codes
        if wanted is None:
            continue
        for name, code in codes.items():
            if code == 0 or wanted.container_name not in (None, name):
                continue
            if (code in wanted.values) == (wanted.operator == "In"):
                return rule.action
    return "Count"


_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` in commands, arguments and values: ``$$`` is a dollar, an unknown name stays as it is."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def environment(
    container: Container,
    fields: Mapping[str, str],
    config_maps: Mapping[str, ConfigMap],
    secrets: Mapping[str, Secret],
) -> dict[str, str]:
    """
    A container's variables: ``envFrom`` first, later ones win, then ``env`` in its order, whose values may
    refer to what stands before them (``makeEnvironmentVariables`` of kubelet_pods.go). What is missing and
    not optional is an error, as the container then isn't created.
    """
    found: dict[str, str] = {}
    for source in container.env_from:
        of, texts = (
            (source.config_map_ref, config_map_texts)
            if source.config_map_ref
            else (source.secret_ref, secret_texts)
        )
        documents = config_maps if source.config_map_ref else secrets
        if of is None:
            raise ManifestError(f"{container.name}: an envFrom without a source")
        if of.name in documents:
            values = texts(documents[of.name])
            found |= {source.prefix + name: value for name, value in values.items()}
        elif not of.optional:
            raise ManifestError(f"{container.name}: no ConfigMap or Secret {of.name}")
    for variable in container.env:
        if variable.value_from is None:
            found[variable.name] = expand(variable.value, found)
            continue
        value = _value_from(container, variable.value_from, fields, config_maps, secrets)
        if value is not None:
            found[variable.name] = value
    return found


def _value_from(
    container: Container,
    source: Any,
    fields: Mapping[str, str],
    config_maps: Mapping[str, ConfigMap],
    secrets: Mapping[str, Secret],
) -> str | None:
    if source.field_ref is not None:
        path = source.field_ref.field_path
        if path not in fields:
            raise ManifestError(f"{container.name}: no field {path}")
        return fields[path]
    if source.secret_key_ref is not None:
        return _by_key(container, source.secret_key_ref, secrets, secret_texts)
    if source.config_map_key_ref is not None:
        return _by_key(container, source.config_map_key_ref, config_maps, config_map_texts)
    raise ManifestError(f"{container.name}: a valueFrom without a source")


def _by_key(
    container: Container,
    wanted: Any,
    documents: Mapping[str, Any],
    texts: Callable[[Any], dict[str, str]],
) -> str | None:
    held = texts(documents[wanted.name]) if wanted.name in documents else {}
    if wanted.key not in held and not wanted.optional:
        raise ManifestError(f"{container.name}: no key {wanted.key} in {wanted.name}")
    return held.get(wanted.key)


def secret_bytes(secret: Secret) -> dict[str, bytes]:
    """``stringData`` wins over ``data``."""
    return secret.data | {key: text.encode() for key, text in secret.string_data.items()}


def secret_texts(secret: Secret) -> dict[str, str]:
    return {key: value.decode() for key, value in secret_bytes(secret).items()}


def config_map_texts(config_map: ConfigMap) -> dict[str, str]:
    return config_map.data


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def quantity_bytes(quantity: str | int) -> int:
    """``128Mi`` and the like (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""
    match = re.fullmatch(r"(\d+)(|k|M|G|Ki|Mi|Gi)", str(quantity))
    if match is None:
        raise ManifestError(f"quantity {quantity!r} is not known to this harness")
    return int(match[1]) * _UNITS[match[2]]


def termination_message(container: Container, noted: bytes, log: str, code: int) -> str:
    """
    What ``kubectl describe pod`` shows: the file's first 4,096 bytes, or the end of the log where the
    container failed, the file is empty, and the policy says so.
    """
    wants_log = container.termination_message_policy == "FallbackToLogsOnError"
    if not noted and code != 0 and wants_log:
        tail = "".join(log.splitlines(keepends=True)[-LOG_TAIL_LINES:])
        return tail.encode()[-LOG_TAIL_BYTES:].decode(errors="replace")
    return noted[:MESSAGE_BYTES].decode(errors="replace")


def encoded(values: Mapping[str, str]) -> dict[str, str]:
    """As ``data`` of a Secret is written."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
