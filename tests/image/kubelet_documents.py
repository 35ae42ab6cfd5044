"""
Kubernetes' documents as far as the harness knows them. A field that isn't here is refused, so that no
test passes because something in a manifest was left out of account.

Fields that the harness takes without acting on them say so; where only some of their values would
change nothing here, only those are taken. The names, types and defaults are those of the API reference
(https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/).
"""

from typing import Annotated, Any, Literal

import msgspec
import yaml

Whole = Annotated[int, msgspec.Meta(ge=0)]


class ManifestError(Exception):
    """A manifest that the API server or the kubelet would refuse, or that this harness doesn't know."""


class Document(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What all of them have in common."""


class Metadata(Document):
    name: str | None = None
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class ConfigMap(Document):
    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, str] = {}
    binary_data: dict[str, bytes] = {}
    immutable: bool = False


class Secret(Document):
    api_version: Literal["v1"]
    kind: Literal["Secret"]
    metadata: Metadata
    type: str = "Opaque"
    data: dict[str, bytes] = {}
    string_data: dict[str, str] = {}
    immutable: bool = False


class KeyRef(Document):
    name: str
    key: str
    optional: bool = False


class FieldRef(Document):
    field_path: str
    api_version: Literal["v1"] = "v1"


class ValueFrom(Document):
    field_ref: FieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class Variable(Document):
    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class AllOf(Document):
    name: str
    optional: bool = False


class EnvFrom(Document):
    prefix: str = ""
    config_map_ref: AllOf | None = None
    secret_ref: AllOf | None = None


class Mount(Document):
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class Exec(Document):
    command: list[str]


class Handler(Document):
    exec: Exec


class Lifecycle(Document):
    post_start: Handler | None = None
    pre_stop: Handler | None = None


class Probe(Document):
    """The defaults are the API's."""

    exec: Exec
    initial_delay_seconds: Whole = 0
    timeout_seconds: Whole = 1
    period_seconds: Whole = 10
    success_threshold: Literal[1] = 1
    failure_threshold: Whole = 3


class Capabilities(Document):
    drop: list[Literal["ALL"]] = []


class Seccomp(Document):
    """Podman's own profile stands for the runtime's."""

    type: Literal["RuntimeDefault"]


class ContainerSecurity(Document):
    run_as_user: Whole | None = None
    run_as_group: Whole | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool = True
    capabilities: Capabilities = Capabilities()
    seccomp_profile: Seccomp | None = None
    privileged: Literal[False] = False


class Amounts(Document, rename={"ephemeral_storage": "ephemeral-storage"}):
    """CPU and local storage aren't limited here: no test's result hangs on them."""

    memory: str | int | None = None
    cpu: str | int | float | None = None
    ephemeral_storage: str | int | None = None


class Resources(Document):
    """Requests are the scheduler's."""

    limits: Amounts = Amounts()
    requests: Amounts = Amounts()


class Port(Document):
    """For readers: the host's network is the pod's here."""

    container_port: int
    name: str = ""
    protocol: Literal["TCP"] = "TCP"


class Container(Document):
    name: str
    image: str
    image_pull_policy: str = ""
    """Nothing is pulled here."""
    command: list[str] = []
    args: list[str] = []
    working_dir: str = ""
    env: list[Variable] = []
    env_from: list[EnvFrom] = []
    volume_mounts: list[Mount] = []
    resources: Resources = Resources()
    security_context: ContainerSecurity = ContainerSecurity()
    lifecycle: Lifecycle | None = None
    ports: list[Port] = []
    readiness_probe: dict[str, Any] | None = None
    """A Service's: nobody here asks whether the pod is ready."""
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"


class InitContainer(Container):
    restart_policy: Literal["Always"] | None = None
    startup_probe: Probe | None = None

    @property
    def is_sidecar(self) -> bool:
        """Native: started in its turn among the init containers, and kept running."""
        return self.restart_policy == "Always"


class Item(Document):
    key: str
    path: str
    mode: Whole | None = None


class ConfigMapVolume(Document):
    name: str
    items: list[Item] | None = None
    default_mode: Whole = 0o644
    optional: bool = False


class SecretVolume(Document):
    secret_name: str
    items: list[Item] | None = None
    default_mode: Whole = 0o644
    optional: bool = False


class EmptyDir(Document):
    medium: Literal["", "Memory"] = ""
    size_limit: str | int | None = None
    """Enforced on a disk by eviction, some time later; not here. Of memory it is the filesystem's size."""


class HostPath(Document):
    path: str
    type: Literal["", "Directory", "DirectoryOrCreate"] = ""


class Claim(Document):
    claim_name: str
    read_only: bool = False


class Volume(Document):
    name: str
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    host_path: HostPath | None = None
    persistent_volume_claim: Claim | None = None


class PodSecurity(Document):
    run_as_user: Whole | None = None
    run_as_group: Whole | None = None
    run_as_non_root: bool | None = None
    fs_group: Whole | None = None
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] = "Always"
    supplemental_groups: list[Whole] = []
    seccomp_profile: Seccomp | None = None


class PodSpec(Document):
    containers: list[Container]
    init_containers: list[InitContainer] = []
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: Whole = 30
    security_context: PodSecurity = PodSecurity()
    share_process_namespace: bool = False
    volumes: list[Volume] = []
    host_network: bool = False
    """Taken for true always: the servers listen on the host's loopback."""
    # The scheduler's, the API's and the cluster network's: nothing of them reaches a container here.
    automount_service_account_token: Literal[False] | None = None
    enable_service_links: bool | None = None
    service_account_name: str | None = None
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] | None = None
    priority_class_name: str | None = None
    image_pull_secrets: list[dict[str, str]] = []


class PodDocument(Document):
    api_version: Literal["v1"]
    kind: Literal["Pod"]
    metadata: Metadata
    spec: PodSpec


class Template(Document):
    spec: PodSpec
    metadata: Metadata = Metadata()


class ExitCodes(Document):
    operator: Literal["In", "NotIn"]
    values: list[int]
    container_name: str | None = None


class PodCondition(Document):
    """Of the pod's status, which no container knows: a disruption, as the API server notes it."""

    type: str
    status: Literal["True", "False", "Unknown"] = "True"


class FailureRule(Document):
    action: Literal["FailJob", "FailIndex", "Ignore", "Count"]
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: list[PodCondition] = []


class FailurePolicy(Document):
    rules: list[FailureRule]


class JobSpec(Document):
    template: Template
    completions: int | None = None
    parallelism: int | None = None
    completion_mode: Literal["NonIndexed", "Indexed"] = "NonIndexed"
    pod_failure_policy: FailurePolicy | None = None
    # The Job controller's, which starts pods and gives them up; a test starts each pod itself.
    backoff_limit: int | None = None
    backoff_limit_per_index: int | None = None
    max_failed_indexes: int | None = None
    pod_replacement_policy: Literal["Failed", "TerminatingOrFailed"] | None = None
    ttl_seconds_after_finished: int | None = None


class Job(Document):
    api_version: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


KINDS: dict[str, type[Any]] = {
    "ConfigMap": ConfigMap,
    "Secret": Secret,
    "Job": Job,
    "Pod": PodDocument,
}


def read(documents: str | list[dict[str, Any]]) -> list[Any]:
    """The documents of a YAML text, or of plain dicts; :class:`ManifestError` names the first unknown field."""
    plain = list(yaml.safe_load_all(documents)) if isinstance(documents, str) else documents
    return [_read_one(document) for document in plain if document is not None]


def _read_one(document: dict[str, Any]) -> Any:
    kind = KINDS.get(document.get("kind", ""))
    if kind is None:
        raise ManifestError(f"kind {document.get('kind')!r} is not known to this harness")
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        name = document.get("metadata", {}).get("name")
        raise ManifestError(f"{kind.__name__} {name}: {error}") from error
