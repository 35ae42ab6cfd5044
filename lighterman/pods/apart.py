"""That no mount of a connection lies where a path of the job is: it would hide it, or be sent with it."""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from lighterman.connections.model import Bucket, Connection
from lighterman.errors import ConfigurationError
from lighterman.pods.logins import WORDS, mounts_of, volume_source
from lighterman.pods.paths import CONFIGURATION, STATE, absolute, hidden_by, output_paths
from lighterman.pods.read import Written
from sidecar.outputs import is_within


class _Mount(NamedTuple):
    """What a connection brings into a container."""

    connection: Connection
    what: str
    path: str
    is_volume: bool = False
    is_mains: bool = False
    """A volume that main mounts too: paths may lie on it."""


def check_connections_apart(written: Written, connections: Mapping[str, Connection]) -> None:
    """
    ``ConfigurationError`` for a secret, config map or volume of a connection that is mounted in, or above, a path
    of init, outputs or a cache, or Lighterman's own; and for a volume in, or around, another connection's volume or secret.
    """
    mounts = [
        mount
        for name, connection in connections.items()
        for mount in _mounts(connection, is_mains=name in written.spec.connections)
    ]
    for mount in mounts:
        if hidden := hidden_by(mount.path):
            _fail(mount, f"would hide {hidden}")
        for own in (CONFIGURATION, STATE):
            if _is_nested(mount.path, own):
                _fail(mount, f"and Lighterman's own {own} are one inside the other")
        for place, path, is_output in _paths(written):
            if _is_nested(mount.path, path) and not _may_hold(mount, path, is_output=is_output):
                _fail(mount, f"and {place}, {path}, are one inside the other")
    for other, mount in combinations(mounts, 2):
        # Secrets among each other: check_apart.
        has_volume = mount.is_volume or other.is_volume
        if has_volume and _is_nested(mount.path, other.path) and not _is_one(mount, other):
            _fail(mount, f"and {other.what} at {other.path} are one inside the other")


def _mounts(connection: Connection, *, is_mains: bool) -> list[_Mount]:
    found = [
        _Mount(
            connection,
            f"the {WORDS[what]} {mount.name} of connection {connection.name!r}",
            absolute(mount.mount_path),
        )
        for what, mount in mounts_of(connection)
        if mount.mount_path is not None
    ]
    schema = connection.schema
    if not isinstance(schema, Bucket) and connection.origin != "uri":
        what = f"the volume of connection {connection.name!r}"
        found.append(_Mount(connection, what, absolute(schema.mount_path), True, is_mains))
    return found


def _paths(written: Written) -> list[tuple[str, str, bool]]:
    """The paths of the job: where each is written, and whether it is one of the outputs."""
    found = [
        (written.entry_place(index, "path"), entry.destination, False)
        for index, entry in enumerate(written.entries)
    ]
    found += [
        (written.entry_place(index, "cache"), entry.cache.path, False)
        for index, entry in enumerate(written.entries)
        if entry.cache
    ]
    found += [
        (written.output_place(index, "path"), path, True)
        for index, path in enumerate(output_paths(written))
    ]
    return found


def _may_hold(mount: _Mount, path: str, *, is_output: bool) -> bool:
    """Whether a path may lie on a connection's volume: main must have it there too, and may write it."""
    schema = mount.connection.schema
    if not mount.is_mains or isinstance(schema, Bucket) or not is_within(path, mount.path):
        return False
    return is_output or not schema.read_only


def _is_one(mount: _Mount, other: _Mount) -> bool:
    """Whether two connections are one volume at one place."""
    schemas = [one.connection.schema for one in (mount, other) if one.is_volume]
    sources = [volume_source(schema) for schema in schemas if not isinstance(schema, Bucket)]
    return mount.path == other.path and len(sources) == 2 and sources[0] == sources[1]


def _is_nested(path: str, other: str) -> bool:
    return is_within(path, other) or is_within(other, path)


def _fail(mount: _Mount, what: str) -> None:
    hint = f"give {mount.what} a mountPath of its own in the catalog"
    if mount.is_volume:
        hint += ", or the job another path; one that main is to share stands in connections, and can be written"
    raise ConfigurationError(
        f"{mount.what}, mounted at {mount.path}, {what}",
        hint=hint,
        connection=mount.connection.name,
    )
