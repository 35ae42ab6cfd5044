"""One container of a pod: the ``podman run`` that stands for what a container runtime is asked for."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubelet_documents import Container, ManifestError, PodSpec
from kubelet_rules import expand, quantity_bytes
from kubelet_volumes import Volumes
from pods import CONTAINERS, podman

TIMED_OUT = 124


@dataclass(frozen=True)
class Surroundings:
    """What a container is started into, beside its own spec."""

    pod: PodSpec
    volumes: Volumes
    images: Mapping[str, str]
    """The image in the manifest, and the one on this machine."""
    environment: Mapping[str, str]
    process_namespace: str | None
    """The container whose processes all of the pod see."""

    def image(self, container: Container) -> str:
        return self.images.get(container.image, container.image)


def run_options(container: Container, around: Surroundings, noted: Path) -> list[str]:
    """
    What its fields say, as podman's options, its image, and its arguments. ``noted`` is the file behind the
    termination log.
    """
    options = ["--network=host", "--pull=never", "--passwd=false"]
    options += _security_options(container, around)
    if container.resources.limits.memory is not None:
        limit = quantity_bytes(container.resources.limits.memory)
        options += [f"--memory={limit}", f"--memory-swap={limit}"]
    if around.process_namespace is not None:
        options.append(f"--pid=container:{around.process_namespace}")
    if container.working_dir:
        options.append(f"--workdir={container.working_dir}")
    options.append(f"--volume={noted}:{container.termination_message_path}")
    for mount in container.volume_mounts:
        read_only = mount.read_only or around.volumes.is_read_only(mount.name)
        source = around.volumes.source(mount.name, mount.sub_path)
        options.append(f"--volume={source}:{mount.mount_path}:{'ro' if read_only else 'rw'}")
    options += [f"--env={name}={value}" for name, value in around.environment.items()]
    if container.command:
        command = [expand(word, around.environment) for word in container.command]
        options.append(f"--entrypoint={json.dumps(command)}")
    arguments = [expand(word, around.environment) for word in container.args]
    return [*options, around.image(container), *arguments]


def _security_options(container: Container, around: Surroundings) -> list[str]:
    """
    The pod's security context holds where the container's has nothing of its own
    (https://kubernetes.io/docs/tasks/configure-pod-container/security-context/).
    """
    own, pod = container.security_context, around.pod.security_context
    uid = pod.run_as_user if own.run_as_user is None else own.run_as_user
    gid = pod.run_as_group if own.run_as_group is None else own.run_as_group
    if pod.run_as_non_root if own.run_as_non_root is None else own.run_as_non_root:
        _refuse_root(container.name, around.image(container), uid)
    if gid is not None and uid is None:
        raise ManifestError(f"{container.name}: runAsGroup without runAsUser")

    options = ["--read-only-tmpfs=false"]
    if uid is not None:
        options.append(f"--user={uid}" if gid is None else f"--user={uid}:{gid}")
    groups = [*pod.supplemental_groups, *([] if pod.fs_group is None else [pod.fs_group])]
    options += [f"--group-add={group}" for group in groups]
    if own.read_only_root_filesystem:
        options.append("--read-only")
    if own.capabilities.drop:
        options.append("--cap-drop=all")
    if not own.allow_privilege_escalation:
        options.append("--security-opt=no-new-privileges")
    return options


def _refuse_root(name: str, image: str, uid: int | None) -> None:
    """``verifyRunAsNonRoot`` of pkg/kubelet/kuberuntime/security_context.go: a name can't be judged."""
    user = podman("image", "inspect", "--format", "{{.User}}", image).strip()
    known = str(uid) if uid is not None else user.partition(":")[0] or "0"
    if not known.isdigit() or int(known) == 0:
        raise ManifestError(f"{name}: runAsNonRoot, and the user is {known!r}")


def execute(name: str, command: list[str], timeout_seconds: float) -> tuple[int, str]:
    """Run a command in it, as hooks and probes by exec do; the code (124: out of time) and what it printed."""
    try:
        done = subprocess.run(
            [CONTAINERS / "podman", "exec", name, *command],
            cwd=tempfile.gettempdir(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT, ""
    return done.returncode, done.stdout


def wait(name: str) -> int:
    """Its exit code, once it has ended."""
    done = subprocess.run(
        [CONTAINERS / "podman", "wait", "--interval=50ms", name],
        cwd=tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def log(name: str) -> str:
    """What it has printed so far, on both streams."""
    done = subprocess.run(
        [CONTAINERS / "podman", "logs", name],
        cwd=tempfile.gettempdir(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout
