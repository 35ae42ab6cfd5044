"""
What a pod may do: who its processes are, and the profile of the Pod Security Standards that it keeps
(https://kubernetes.io/docs/concepts/security/pod-security-standards/).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from lighterman.errors import UsageError
from lighterman.pods.documents import PodSecurityContext, SecurityContext, plain
from lighterman.pods.read import Written

OWN: Final[Mapping[str, Any]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Of Lighterman's containers, which need nothing."""
_RESTRICTED: Final = {name: OWN[name] for name in ("allowPrivilegeEscalation", "capabilities")}
_BASELINE_CAPABILITIES: Final = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
_SELINUX_TYPES: Final = (
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)
_SYSCTLS: Final = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ]
)
_RESTRICTED_VOLUMES: Final = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
    ]
)
_APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
MOST_ID: Final = 2**31 - 1
"""Kubernetes takes no greater uid or gid."""
_RUN_AS: Final = re.compile(r"(\d{1,10})(?::(\d{1,10}))?")


class User(NamedTuple):
    """Whom the pod's processes run as."""

    uid: int
    gid: int | None
    """``None``: whatever the main image says, which is no matter for files that their owner made."""


class Profile(NamedTuple):
    """The strictest profile that a pod keeps, and what it breaks of the next stricter ones."""

    name: str
    broken: tuple[str, ...]


def run_as(text: str) -> User:
    """What ``--run-as`` says: ``UID`` or ``UID:GID``."""
    match = _RUN_AS.fullmatch(text.strip())
    if match is None or max(int(number) for number in match.groups("0")) > MOST_ID:
        raise ValueError(f"{text!r} is neither UID nor UID:GID; write numbers like 1000:1000")
    return User(int(match[1]), int(match[2]) if match[2] else None)


def user_of(written: Written, said: User | None) -> User:
    """
    Main's user: what its container says, else the pod, else ``said``. ``ConfigurationError`` where none does, and
    where ``said`` isn't what the spec says.
    """
    main = written.run.container.security_context or SecurityContext()
    pod = written.environment.security_context or PodSecurityContext()
    uid = pod.run_as_user if main.run_as_user is None else main.run_as_user
    gid = pod.run_as_group if main.run_as_group is None else main.run_as_group
    place = written.place("container", "securityContext", "runAsUser")
    if uid is not None and not 0 <= uid <= MOST_ID:
        if main.run_as_user is None:
            place = written.place("environment", "securityContext", "runAsUser")
        written.fail(place, f"{uid} is no user's number", f"write one from 0 to {MOST_ID}")
    is_root = (uid if said is None else said.uid) == 0
    if is_root and (pod.run_as_non_root if main.run_as_non_root is None else main.run_as_non_root):
        written.fail(
            place, "main is root, and runAsNonRoot says that it isn't", "take one of them out"
        )
    if said is not None:
        if uid not in (None, said.uid) or (gid is not None and said.gid not in (None, gid)):
            raise UsageError(
                f"--run-as {said.uid} and the job spec's runAsUser {uid} are two users",
                hint="leave --run-as out, or say the same",
            )
        return User(said.uid, gid if said.gid is None else said.gid)
    if uid is None:
        written.fail(
            place,
            "main's user isn't known: Lighterman must run as it, to read what main writes",
            "say its number there, or --run-as UID[:GID]; `id -u` in main's image tells it",
        )
    return User(uid, gid)


def pod_context(written: Written, user: User) -> dict[str, Any]:
    """The pod's security context: what the user said, and what restricts it further where nothing is said."""
    said = plain(written.environment.security_context or PodSecurityContext())
    context: dict[str, Any] = {"runAsUser": user.uid}
    if user.gid is not None:
        context["runAsGroup"] = user.gid
    if user.uid != 0:
        context["runAsNonRoot"] = True
        # Who owns the volumes, and may read the secrets that are mounted.
        context["fsGroup"] = user.uid if user.gid in (None, 0) else user.gid
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    context["seccompProfile"] = {"type": "RuntimeDefault"}
    return {**context, **said, "runAsUser": user.uid}


def main_context(written: Written, user: User) -> dict[str, Any]:
    """Main's security context: as it is written, and restricted where nothing is said and main isn't root."""
    said = plain(written.run.container.security_context or SecurityContext())
    if user.uid == 0 or said.get("privileged"):
        return said
    restricted = dict(_RESTRICTED)
    if {"SYS_ADMIN", "CAP_SYS_ADMIN"} & _names(said, "add"):
        # It is an escalation; Kubernetes takes no context that says both.
        del restricted["allowPrivilegeEscalation"]
    return {**restricted, **said}


def profile_of(pod: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> Profile:
    """The profile of a pod's spec, as a manifest has it, and of its annotations."""
    broken = tuple(dict.fromkeys((*_broken_baseline(pod), *_unconfined(annotations or {}))))
    if broken:
        return Profile("privileged", broken)
    broken = tuple(dict.fromkeys(_broken_restricted(pod)))
    return Profile("baseline", broken) if broken else Profile("restricted", ())


def _containers(
    pod: Mapping[str, Any],
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        yield container["name"], container, container.get("securityContext", {})


def _broken_baseline(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", ()):
        if "hostPath" in volume:
            yield f"the hostPath volume {volume['name']}"
    for sysctl in context.get("sysctls", ()):
        if sysctl.get("name") not in _SYSCTLS:
            yield f"the sysctl {sysctl.get('name')}"
    yield from _broken_contexts("the pod", context)
    for name, container, own in _containers(pod):
        yield from _broken_contexts(f"the container {name}", own)
        yield from _broken_container(f"the container {name}", container, own)


def _unconfined(annotations: Mapping[str, str]) -> Iterator[str]:
    """AppArmor's profiles as they were said before there was a field: still looked at."""
    for name, profile in annotations.items():
        is_allowed = profile in ("", "runtime/default") or profile.startswith("localhost/")
        if name.startswith(_APP_ARMOR) and not is_allowed:
            yield f"the container {name.removeprefix(_APP_ARMOR)} has no AppArmor profile"


def _broken_container(
    who: str, container: Mapping[str, Any], context: Mapping[str, Any]
) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{who} is privileged"
    added = _names(context, "add") - _BASELINE_CAPABILITIES
    if added:
        yield f"{who} has {', '.join(sorted(added))}"
    if context.get("procMount", "Default") != "Default":
        yield f"{who} has procMount {context['procMount']}"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield f"{who} has a hostPort"
    if _has_host_hook(container):
        yield f"a probe or hook of {who} names a host"


def _broken_contexts(who: str, context: Mapping[str, Any]) -> Iterator[str]:
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield f"{who} has no seccomp profile"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{who} has no AppArmor profile"
    linux = context.get("seLinuxOptions", {})
    if (linux.get("type") or "") not in _SELINUX_TYPES or linux.get("user") or linux.get("role"):
        yield f"{who} has SELinux options of its own"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{who} is a host process"


def _has_host_hook(container: Mapping[str, Any]) -> bool:
    probes = [container.get(f"{name}Probe", {}) for name in ("liveness", "readiness", "startup")]
    hooks = [*probes, *container.get("lifecycle", {}).values()]
    handlers = [
        hook.get(kind)
        for hook in hooks
        if isinstance(hook, Mapping)
        for kind in ("httpGet", "tcpSocket")
    ]
    return any(isinstance(handler, Mapping) and handler.get("host") for handler in handlers)


def _names(context: Mapping[str, Any], what: str) -> set[str]:
    """The capabilities that a context adds or drops. What they are made of is Kubernetes' to check."""
    found = context.get("capabilities", {}).get(what) or []
    return {str(name) for name in (found if isinstance(found, list) else [found])}


def _broken_restricted(pod: Mapping[str, Any]) -> Iterator[str]:
    context = pod.get("securityContext", {})
    for volume in pod.get("volumes", ()):
        kinds = [kind for kind in volume if kind != "name"]
        if any(kind not in _RESTRICTED_VOLUMES for kind in kinds):
            yield f"the volume {volume['name']} is of the kind {kinds[0]}"
    if context.get("runAsUser") == 0:
        yield "the pod runs as root"
    yield from _unrestricted_containers(pod, context)


def _unrestricted_containers(pod: Mapping[str, Any], context: Mapping[str, Any]) -> Iterator[str]:
    for name, _, own in _containers(pod):
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"the container {name} may escalate its privileges"
        if "ALL" not in _names(own, "drop"):
            yield f"the container {name} doesn't drop ALL capabilities"
        if _names(own, "add") - {"NET_BIND_SERVICE"}:
            yield f"the container {name} adds capabilities"
        if own.get("runAsNonRoot", context.get("runAsNonRoot")) is not True:
            yield f"the container {name} may be root (runAsNonRoot isn't true)"
        if own.get("runAsUser") == 0:
            yield f"the container {name} runs as root"
        profile = own.get("seccompProfile", context.get("seccompProfile", {})).get("type")
        if profile not in ("RuntimeDefault", "Localhost"):
            yield f"the container {name} has no seccomp profile"
