"""
A job spec as ``render`` reads it: beside Lighterman's own blocks the main container, the pod and the Job, each by
Kubernetes' own names (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/). An unknown field is
an error down to the members that are typed here; below them ``--validate`` looks.
"""

from typing import Any, Literal, TypeAlias

import msgspec

Members: TypeAlias = dict[str, object]
"""A mapping of Kubernetes' that passes as it is written."""


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is read by Kubernetes' names; everything that isn't said stays unsaid."""


class VolumeMount(_Written, frozen=True, kw_only=True):
    """A volume in a container."""

    name: str
    mount_path: str
    read_only: bool | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None
    mount_propagation: str | None = None
    recursive_read_only: str | None = None
    bind_mount_options: object = None


class SecurityContext(_Written, frozen=True, kw_only=True):
    """A container's."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: Members | None = None
    seccomp_profile: Members | None = None
    app_armor_profile: Members | None = None
    proc_mount: str | None = None
    se_linux_options: Members | None = None
    windows_options: Members | None = None


class PodSecurityContext(_Written, frozen=True, kw_only=True):
    """A pod's."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    supplemental_groups: tuple[int, ...] | None = None
    supplemental_groups_policy: str | None = None
    seccomp_profile: Members | None = None
    app_armor_profile: Members | None = None
    se_linux_change_policy: str | None = None
    se_linux_options: Members | None = None
    sysctls: tuple[Members, ...] | None = None
    windows_options: Members | None = None


class Variable(_Written, frozen=True, kw_only=True):
    """One of a container's environment."""

    name: str
    value: str | None = None
    value_from: Members | None = None


class Container(_Written, frozen=True, kw_only=True):
    """The main container."""

    image: str
    name: str = "main"
    image_pull_policy: str | None = None
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str | None = None
    env: tuple[Variable, ...] | None = None
    env_from: tuple[Members, ...] | None = None
    ports: tuple[Members, ...] | None = None
    resources: Members | None = None
    resize_policy: tuple[Members, ...] | None = None
    volume_mounts: tuple[VolumeMount, ...] | None = None
    volume_devices: tuple[Members, ...] | None = None
    lifecycle: Members | None = None
    liveness_probe: Members | None = None
    readiness_probe: Members | None = None
    startup_probe: Members | None = None
    restart_policy: str | None = None
    restart_policy_rules: tuple[Members, ...] | None = None
    security_context: SecurityContext | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    tty: bool | None = None


class Volume(_Written, frozen=True, kw_only=True):
    """A volume of the pod. Which of its sources it has is Kubernetes' to check, and which of the old ones it still knows."""

    name: str
    aws_elastic_block_store: Members | None = None
    azure_disk: Members | None = None
    azure_file: Members | None = None
    cephfs: Members | None = None
    cinder: Members | None = None
    config_map: Members | None = None
    csi: Members | None = None
    downward_api: Members | None = msgspec.field(default=None, name="downwardAPI")
    empty_dir: Members | None = None
    ephemeral: Members | None = None
    fc: Members | None = None
    flex_volume: Members | None = None
    flocker: Members | None = None
    gce_persistent_disk: Members | None = None
    git_repo: Members | None = None
    glusterfs: Members | None = None
    host_path: Members | None = None
    image: Members | None = None
    iscsi: Members | None = None
    nfs: Members | None = None
    persistent_volume_claim: Members | None = None
    photon_persistent_disk: Members | None = None
    portworx_volume: Members | None = None
    projected: Members | None = None
    quobyte: Members | None = None
    rbd: Members | None = None
    scale_io: Members | None = msgspec.field(default=None, name="scaleIO")
    secret: Members | None = None
    storageos: Members | None = None
    vsphere_volume: Members | None = None


class Environment(_Written, frozen=True, kw_only=True):
    """Of the pod: its labels, and the fields of its spec that aren't containers or volumes."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    active_deadline_seconds: int | None = None
    affinity: Members | None = None
    automount_service_account_token: bool | None = None
    dns_config: Members | None = None
    dns_policy: str | None = None
    enable_service_links: bool | None = None
    eviction_responders: tuple[Members, ...] | None = None
    host_aliases: tuple[Members, ...] | None = None
    host_ipc: bool | None = msgspec.field(default=None, name="hostIPC")
    host_network: bool | None = None
    host_pid: bool | None = msgspec.field(default=None, name="hostPID")
    host_users: bool | None = None
    hostname: str | None = None
    hostname_override: str | None = None
    image_pull_secrets: tuple[str | Members, ...] | None = None
    node_name: str | None = None
    node_selector: dict[str, str] | None = None
    os: Members | None = None
    overhead: Members | None = None
    preemption_policy: str | None = None
    priority: int | None = None
    priority_class_name: str | None = None
    readiness_gates: tuple[Members, ...] | None = None
    resource_claims: tuple[Members, ...] | None = None
    resources: Members | None = None
    restart_policy: Literal["Never", "OnFailure"] | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    scheduling_gates: tuple[Members, ...] | None = None
    scheduling_group: Members | None = None
    security_context: PodSecurityContext | None = None
    service_account: str | None = None
    service_account_name: str | None = None
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    share_process_namespace: bool | None = None
    subdomain: str | None = None
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Members, ...] | None = None
    topology_spread_constraints: tuple[Members, ...] | None = None


class Termination(_Written, frozen=True, kw_only=True):
    """How a job ends, by Polyaxon's names."""

    max_retries: int | None = None
    ttl: int | None = None
    timeout: int | None = None


class Own(_Written, frozen=True, kw_only=True):
    """One of Lighterman's own containers."""

    env: dict[str, str] | None = None
    """Flags, as their variables."""
    resources: Members | None = None


class Lighterman(_Written, frozen=True, kw_only=True):
    """Lighterman's own containers."""

    image: str | None = None
    image_pull_policy: str | None = None
    init: Own | None = None
    sidecar: Own | None = None


class Run(_Written, frozen=True, kw_only=True):
    """The run block, or what of it stands at the top."""

    container: Container
    kind: Literal["job"] = "job"
    init: object = None
    connections: object = None
    outputs: object = None
    lighterman: Lighterman | None = None
    volumes: tuple[Volume, ...] | None = None
    environment: Environment | None = None
    completions: int | None = None
    parallelism: int | None = None
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    suspend: bool | None = None


class Top(_Written, frozen=True, kw_only=True):
    """The whole document, without what belongs to the run block."""

    version: float | str | None = None
    kind: Literal["component", "job"] | None = None
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | str | None = None
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    termination: Termination | None = None
    run: object = None


def plain(document: msgspec.Struct) -> dict[str, Any]:
    """A document by Kubernetes' names, in the order of its type, without what wasn't said."""
    return {
        field.encode_name: _plain(value)
        for field in msgspec.structs.fields(document)
        if (value := getattr(document, field.name)) is not None
    }


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return plain(value)
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    return value
