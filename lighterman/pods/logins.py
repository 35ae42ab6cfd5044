"""What a container needs to use connections: their secrets and config maps, as mounts or as variables, and volumes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from lighterman.connections.model import Bucket, Connection, HostPath, Mount, VolumeClaim
from lighterman.errors import ConfigurationError
from lighterman.pods.paths import absolute
from lighterman.pods.volumes import Mounted, Volumes
from sidecar.outputs import is_within

SECRET_MODE: Final = 0o400
"""
Kubernetes lets the pod's fsGroup read what only the owner may. In a manifest a mode is decimal, 256: what YAML 1.1
reads as octal, 0400, is four hundred in YAML 1.2.
"""

WORDS: Final[Mapping[str, str]] = {"secret": "secret", "configMap": "config map"}
"""Kubernetes' words for what is mounted, as sentences have them."""


@dataclass
class Parts:
    """Members of one container, each once."""

    env: list[dict[str, Any]] = field(default_factory=list)
    env_from: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[Mounted] = field(default_factory=list)

    def set(self, name: str, value: str) -> None:
        """Give a variable a plain value."""
        # "$(" would be a reference to another variable.
        self.refer({"name": name, "value": value.replace("$(", "$$(")})

    def refer(self, variable: dict[str, Any]) -> None:
        """Add a variable as Kubernetes writes it, if it isn't there."""
        if all(variable["name"] != other["name"] for other in self.env):
            self.env.append(variable)

    def take(self, source: dict[str, Any]) -> None:
        """Add all keys of a secret or config map as variables."""
        if source not in self.env_from:
            self.env_from.append(source)

    def mount(self, mounted: Mounted) -> None:
        """Add a mount; of one path, one that can be written to wins."""
        for index, other in enumerate(self.mounts):
            if other.path == mounted.path:
                if other.read_only and not mounted.read_only:
                    self.mounts[index] = mounted
                return
        self.mounts.append(mounted)

    def members(self) -> dict[str, Any]:
        """As members of the container."""
        found: dict[str, Any] = {
            "env": self.env,
            "envFrom": self.env_from,
            "volumeMounts": [mount.as_member() for mount in self.mounts],
        }
        return {name: value for name, value in found.items() if value}


def mounts_of(connection: Connection) -> list[tuple[str, Mount]]:
    """A connection's secret and config map, with Kubernetes' word for each."""
    found = (("secret", connection.secret), ("configMap", connection.config_map))
    return [(what, mount) for what, mount in found if mount is not None]


def add_logins(
    parts: Parts,
    connections: Iterable[Connection],
    volumes: Volumes,
    *,
    writes: bool = False,
) -> None:
    """Add what these connections need in one of Lighterman's own containers."""
    for connection in connections:
        for what, mount in mounts_of(connection):
            if mount.mount_path is None:
                add_variables(parts, what, mount)
            else:
                parts.mount(mounted_secret(what, mount, volumes))
        add_volume(parts, connection, volumes, read_only=not writes)


def add_variables(parts: Parts, what: str, mount: Mount) -> None:
    """The keys of a secret or config map as variables: those that are listed, or all."""
    if mount.items is None:
        parts.take({f"{what}Ref": {"name": mount.name}})
    for item in mount.items or ():
        parts.refer(key_reference(what, mount.name, item, item))


def key_reference(
    what: str, name: str, key: str, variable: str, *, optional: bool = False
) -> dict[str, Any]:
    """A variable that is one key of a secret or config map."""
    reference: dict[str, Any] = {"name": name, "key": key}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {f"{what}KeyRef": reference}}


def mounted_secret(what: str, mount: Mount, volumes: Volumes) -> Mounted:
    """A secret or config map as files at its place."""
    source: dict[str, Any] = {"secretName" if what == "secret" else "name": mount.name}
    if mount.items is not None:
        source["items"] = [{"key": item, "path": item} for item in mount.items]
    if mount.default_mode is not None:
        source["defaultMode"] = mount.default_mode
    elif what == "secret":
        source["defaultMode"] = SECRET_MODE
    return Mounted(
        volumes.named(mount.name, {what: source}), absolute(mount.mount_path or "/"), True
    )


def add_volume(
    parts: Parts, connection: Connection, volumes: Volumes, *, read_only: bool = False
) -> None:
    """The volume that a connection is, at its place. A URI's is the user's own to mount."""
    schema = connection.schema
    if isinstance(schema, Bucket) or connection.origin == "uri":
        return
    source = volume_source(schema)
    volume = volumes.named(connection.name, source)
    parts.mount(Mounted(volume, absolute(schema.mount_path), read_only or schema.read_only))


def volume_source(schema: VolumeClaim | HostPath) -> dict[str, Any]:
    """A volume connection's volume, as Kubernetes writes it."""
    if isinstance(schema, VolumeClaim):
        return {"persistentVolumeClaim": {"claimName": schema.volume_claim}}
    return {"hostPath": {"path": absolute(schema.host_path)}}


def check_apart(connections: Sequence[Connection], container: str) -> list[str]:
    """
    ``ConfigurationError`` where the secrets of two connections would be one variable, or one directory, of
    ``container``. Gives what is to be said of those that may take another's login for theirs.
    """
    mounts = [
        (connection, what, mount)
        for connection in connections
        for what, mount in mounts_of(connection)
    ]
    for (one, what, mount), (other, its_what, its_mount) in combinations(mounts, 2):
        is_same = (what, mount.name) == (its_what, its_mount.name)
        reason = _shared_directory(mount, its_mount, is_same=is_same)
        if not is_same:
            reason = reason or _shared_variable((one, mount), (other, its_mount))
        if reason:
            raise ConfigurationError(
                f"the {WORDS[what]} {mount.name} of connection {one.name!r} and the {WORDS[its_what]} "
                f"{its_mount.name} of {other.name!r} {reason} in the {container} container",
                hint="give each a mountPath of its own in the catalog, so that they are files and not "
                "variables",
                connection=other.name,
            )
    return [
        f"connection {other.name!r} has no secret of its own, and finds that of {one.name!r} in the environment"
        for one in connections
        for other in connections
        if _may_take(other, one)
    ]


def _shared_directory(mount: Mount, other: Mount, *, is_same: bool) -> str:
    """``is_same``: they are one secret, which may be at one place twice, with the same files."""
    if not (mount.mount_path and other.mount_path):
        return ""
    path, its_path = absolute(mount.mount_path), absolute(other.mount_path)
    if is_same and path == its_path:
        is_alike = (mount.items, mount.default_mode) == (other.items, other.default_mode)
        return "" if is_alike else f"say different files or modes for {path}"
    if is_within(path, its_path) or is_within(its_path, path):
        return f"are both mounted at {min(path, its_path, key=len)}"
    return ""


def _shared_variable(one: tuple[Connection, Mount], other: tuple[Connection, Mount]) -> str:
    (connection, mount), (its_connection, its_mount) = one, other
    if mount.mount_path or its_mount.mount_path:
        return ""
    if mount.items is not None and its_mount.items is not None:
        shared = [item for item in mount.items if item in its_mount.items]
        return f"are both the variable {shared[0]}" if shared else ""
    if connection is not its_connection and connection.kind == its_connection.kind:
        return "have keys that are the same variables"
    return ""


def _may_take(bare: Connection, other: Connection) -> bool:
    """Whether a connection without a login of its own would find another's among its variables."""
    is_bare = not (bare.secret or bare.config_map or bare.env or bare.options.anonymous)
    return (
        is_bare
        and bare is not other
        and isinstance(bare.schema, Bucket)
        and bare.kind == other.kind
        and other.secret is not None
        and other.secret.mount_path is None
    )
