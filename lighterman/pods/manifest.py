"""The whole: a ConfigMap with the catalog and the job spec, and the Job."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.errors import ConfigurationError, ExitCode, LightermanError, UsageError
from lighterman.pods.catalog import catalog_of
from lighterman.pods.containers import CHECK, INIT, SIDECAR, Containers, End, Setting, containers_of
from lighterman.pods.documents import Environment, plain
from lighterman.pods.logins import check_connection
from lighterman.pods.paths import check_paths, check_prefixes, output_paths
from lighterman.pods.placing import places_of
from lighterman.pods.read import Written
from lighterman.pods.security import Profile, User, pod_context, profile_of, user_of
from lighterman.pods.volumes import Mounted, Volumes, covering
from lighterman.pods.written import text_of
from sidecar.watched_process import watched

GRACE_SECONDS: Final = 120
"""What a pod with outputs gets if its spec says nothing; Kubernetes' own 30 s hold for main and the sidecar together."""
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
_POD_FIELDS: Final = ("labels", "annotations", "securityContext", "imagePullSecrets")
"""Of the environment, those that aren't fields of the pod's spec as they stand."""


class Wishes(NamedTuple):
    """What isn't in the job spec, but said beside it."""

    image: str
    size_limit: str | None = None
    run_as: User | None = None
    is_native: bool = True
    watch_process: str | int | None = None
    done_file: str | None = None
    failure_policy: bool = False


class Manifest(NamedTuple):
    """What is made of a job spec."""

    documents: tuple[dict[str, Any], ...]
    profile: Profile
    notes: tuple[str, ...]
    """What the user should know of it."""


def manifest_of(
    written: Written, wishes: Wishes, find_connection: Callable[[str], Connection]
) -> Manifest:
    """The manifest of a Job. ``ConfigurationError`` and ``UsageError`` for what can't be one, by name."""
    if written.spec.init is None and not written.spec.outputs:
        written.fail(
            "",
            "neither an init block nor outputs",
            "there is nothing of Lighterman's in it to render: init: […], outputs: {…}",
        )
    connections = _connections(written, find_connection)
    check_paths(written)
    check_prefixes(written)
    _check_uris(written, connections)
    user = user_of(written, wishes.run_as)
    volumes = Volumes(written)
    configuration = f"{written.name}-lighterman"
    places = places_of(
        written,
        connections,
        volumes,
        configuration=configuration,
        size_limit=wishes.size_limit,
    )
    grace = written.environment.termination_grace_period_seconds
    setting = Setting(
        written=written,
        connections=connections,
        volumes=volumes,
        places=places,
        user=user,
        image=written.own.image or wishes.image,
        grace_seconds=GRACE_SECONDS if grace is None else grace,
        end=_end(written, wishes, places.paths),
    )
    containers = containers_of(setting)
    pod = _pod(setting, containers)
    profile = profile_of(pod)
    job = _job(setting, pod, wishes)
    return Manifest(
        (_config_map(setting, configuration), job),
        profile,
        (*containers.notes, *_notes(setting, profile, wishes)),
    )


def _connections(
    written: Written, find_connection: Callable[[str], Connection]
) -> dict[str, Connection]:
    places = [
        (entry.connection, written.entry_place(index, "connection"))
        for index, entry in enumerate(written.entries)
    ]
    places += [
        (output.connection, written.output_place(index, "connection"))
        for index, output in enumerate(written.spec.outputs)
    ]
    places += [
        (name, f"{written.block_places['connections']}[{index}]")
        for index, name in enumerate(written.spec.connections)
    ]
    found: dict[str, Connection] = {}
    for name, place in places:
        if name in found:
            continue
        try:
            found[name] = find_connection(name)
            check_connection(found[name])
        except LightermanError as error:
            raise ConfigurationError(
                f"{written.origin}: {place}: {error.message}", hint=error.hint
            ) from error
    _check_writable(written, found)
    return found


def _check_writable(written: Written, connections: Mapping[str, Connection]) -> None:
    for index, output in enumerate(written.spec.outputs):
        schema = connections[output.connection].schema
        if not isinstance(schema, Bucket) and schema.read_only:
            written.fail(
                written.output_place(index, "connection"),
                f"{output.connection} is read-only",
                "take readOnly out of its schema, or send outputs elsewhere",
            )


def _check_uris(written: Written, connections: Mapping[str, Connection]) -> None:
    """A ``file`` URI is a place in a container: it must be on a volume that main mounts."""
    owned = [
        Mounted(mount.name, mount.mount_path) for mount in written.run.container.volume_mounts or ()
    ]
    for name, connection in connections.items():
        schema = connection.schema
        if not (isinstance(schema, HostPath) and connection.origin == "uri"):
            continue
        if covering(schema.mount_path, owned) is None:
            raise ConfigurationError(
                f"{written.origin}: {name} is on no volume of the pod",
                hint="name a connection of kind host_path or volume_claim, or mount a volume there in main",
            )


def _end(written: Written, wishes: Wishes, paths: Mapping[str, Mounted]) -> End:
    if wishes.is_native:
        for flag, value in (
            ("--watch-process", wishes.watch_process),
            ("--done-file", wishes.done_file),
        ):
            if value is not None:
                raise UsageError(
                    f"{flag} is for --no-native: the kubelet tells a native sidecar when main has ended",
                    hint=f"add --no-native, or leave {flag} out",
                )
        return End()
    if wishes.watch_process is not None and wishes.done_file:
        raise UsageError("--watch-process and --done-file are two ends of main", hint="say one")
    if wishes.done_file:
        if not written.spec.outputs:
            return End(is_native=False)
        outputs = [paths[path] for path in output_paths(written)]
        if covering(wishes.done_file, outputs) is None:
            raise UsageError(
                f"--done-file {wishes.done_file} is where the sidecar can't see it",
                hint=f"name a file on a volume of the outputs: {outputs[0].path}/.done",
            )
        return End(is_native=False, done_file=wishes.done_file)
    if isinstance(wishes.watch_process, int):
        raise UsageError(
            f"--watch-process {wishes.watch_process}: nobody knows main's number before it runs",
            hint="give its name",
        )
    command = written.run.container.command
    process = wishes.watch_process or (command[0].rpartition("/")[2] if command else None)
    if not process:
        written.fail(
            written.place("container", "command"),
            "what main's process is called isn't known",
            "say the command there, or --watch-process NAME, or --done-file PATH",
        )
    return End(is_native=False, process=str(watched(process)))


def _pod(setting: Setting, containers: Containers) -> dict[str, Any]:
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


def _metadata(written: Written, name: str) -> dict[str, Any]:
    top = written.top
    found: dict[str, Any] = {
        "name": name,
        "namespace": top.namespace,
        "labels": {NAME_LABEL: written.name, **(top.labels or {})},
        "annotations": dict(top.annotations or {}),
    }
    return {member: value for member, value in found.items() if value}


def _config_map(setting: Setting, name: str) -> dict[str, Any]:
    written = setting.written
    named = [one for one in setting.connections.values() if one.origin != "uri"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(written, name),
        "data": {
            "connections.yaml": text_of(catalog_of(named)) if named else "connections: []\n",
            "job.yaml": text_of({"run": written.blocks}),
        },
    }


def _job(setting: Setting, pod: dict[str, Any], wishes: Wishes) -> dict[str, Any]:
    written, run = setting.written, setting.written.run
    environment: Environment = written.environment
    template: dict[str, Any] = {
        "metadata": {
            "labels": {NAME_LABEL: written.name, **(environment.labels or {})},
            "annotations": dict(environment.annotations or {}),
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
        "podFailurePolicy": _failure_policy(setting, pod) if wishes.failure_policy else None,
        "template": template,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(written, written.name),
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


def _notes(setting: Setting, profile: Profile, wishes: Wishes) -> list[str]:
    notes = []
    if profile.broken:
        notes.append(
            f"the pod keeps the Pod Security profile {profile.name} only: {', '.join(profile.broken)}"
        )
    if wishes.failure_policy:
        notes.append(
            "a failure policy needs restartPolicy: Never: a failed pod is replaced by another, whose emptyDirs are "
            "empty: what init brought is brought again, and outputs that weren't sent are lost with the pod"
        )
    if setting.places.caches and setting.user.uid != 0:
        paths = ", ".join(mount.path for mount in setting.places.caches)
        notes.append(
            f"the node's {paths} must be writable for uid {setting.user.uid}: the kubelet makes it for root"
        )
    return notes
