"""
The restricted profile of the Pod Security Standards, as https://kubernetes.io/docs/concepts/security/pod-security-standards/
lists it (Kubernetes 1.34), for pod specs as plain data. Written from that page alone: what the project itself says
of profiles is held against it.
"""

ANY_KIND = ("initContainers", "containers", "ephemeralContainers")
SECCOMP = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = (
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
)
SYSCTLS = frozenset(
    {
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
    }
)
VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
        "image",
    }
)


def violations(pod):
    """What a pod spec breaks of the restricted profile, one line each; nothing if it is admitted."""
    return [
        *_of_pod(pod),
        *(line for one in containers_of(pod) for line in _of_container(one, pod)),
    ]


def containers_of(pod):
    """All its containers, in the order in which they start."""
    return [container for kind in ANY_KIND for container in pod.get(kind) or []]


def _of_pod(pod):
    context = pod.get("securityContext") or {}
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield f"pod: {name}"
    for sysctl in context.get("sysctls") or []:
        if sysctl["name"] not in SYSCTLS:
            yield f"pod: sysctl {sysctl['name']}"
    for volume in pod.get("volumes") or []:
        kinds = volume.keys() - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds - VOLUMES))}"
    yield from _of_both(context, "pod")


def _of_both(context, where):
    """What the profile asks of the pod's and of each container's security context alike."""
    if context.get("runAsUser") == 0:
        yield f"{where}: runAsUser 0"
    if context.get("runAsNonRoot") is False:
        yield f"{where}: runAsNonRoot false"
    profile = context.get("seccompProfile")
    if profile is not None and profile.get("type") not in SECCOMP:
        yield f"{where}: seccompProfile {profile.get('type')}"
    armor = context.get("appArmorProfile")
    if armor is not None and armor.get("type") not in SECCOMP:
        yield f"{where}: appArmorProfile {armor.get('type')}"
    selinux = context.get("seLinuxOptions") or {}
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{where}: seLinuxOptions"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"{where}: hostProcess"


def _of_container(container, pod):
    where = f"container {container['name']}"
    own, of_pod = container.get("securityContext") or {}, pod.get("securityContext") or {}
    if own.get("privileged"):
        yield f"{where}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: allowPrivilegeEscalation isn't false"
    if own.get("procMount", "Default") != "Default":
        yield f"{where}: procMount {own['procMount']}"
    if not own.get("runAsNonRoot", of_pod.get("runAsNonRoot")):
        yield f"{where}: runAsNonRoot isn't true"
    if not own.get("seccompProfile", of_pod.get("seccompProfile")):
        yield f"{where}: no seccompProfile"
    yield from _of_capabilities(own.get("capabilities") or {}, where)
    yield from _of_ports(container, where)
    yield from _of_both(own, where)


def _of_capabilities(capabilities, where):
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{where}: capabilities aren't dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{where}: capabilities are added"


def _of_ports(container, where):
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            yield f"{where}: hostPort {port['hostPort']}"
    for hook in _hooks(container):
        for kind in ("httpGet", "tcpSocket"):
            if (hook.get(kind) or {}).get("host"):
                yield f"{where}: a probe of another host"


def _hooks(container):
    probes = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    lifecycle = container.get("lifecycle") or {}
    return [hook for hook in (*probes, *lifecycle.values()) if isinstance(hook, dict)]
