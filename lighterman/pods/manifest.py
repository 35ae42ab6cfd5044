"""The whole: a ConfigMap with the catalog and the job spec, and the Job."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.connections.uri import parse_bucket
from lighterman.errors import ConfigurationError, LightermanError
from lighterman.pods.apart import check_connections_apart
from lighterman.pods.catalog import catalog_of
from lighterman.pods.checks import check_connection
from lighterman.pods.containers import CHECK, INIT, SIDECAR, Setting, containers_of
from lighterman.pods.ends import Wishes, end_of
from lighterman.pods.job import job_of, metadata_of, pod_of
from lighterman.pods.limits import check_limits
from lighterman.pods.logins import volume_source
from lighterman.pods.paths import check_paths, check_prefixes
from lighterman.pods.placing import places_of
from lighterman.pods.read import Written
from lighterman.pods.security import Profile, profile_of, user_of
from lighterman.pods.volumes import Mounted, Volumes, covering
from lighterman.pods.written import text_of
from sidecar.outputs import check_places_apart
from sidecar.place import below

GRACE_SECONDS: Final = 120
"""What a pod with outputs gets if its spec says nothing; Kubernetes' own 30 s hold for main and the sidecar together."""
LARGEST_BYTES: Final = 1024 * 1024
"""Of a ConfigMap's data (https://kubernetes.io/docs/concepts/configuration/configmap/)."""


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
    if not written.spec.init and not written.spec.outputs:
        written.fail(
            "",
            "neither an init block nor outputs",
            "there is nothing of Lighterman's in it to render: init: […], outputs: {…}",
        )
    if written.run.container.name in (CHECK, INIT, SIDECAR):
        written.fail(
            written.place("container", "name"),
            f"{written.run.container.name} is a container of Lighterman's",
            "call main something else, or leave the name out",
        )
    check_limits(written)
    connections = _connections(written, find_connection)
    check_paths(written)
    check_prefixes(written)
    _check_uris(written, connections)
    check_places_apart(
        [_destination(connections[one.connection], one.to) for one in written.spec.outputs]
    )
    check_connections_apart(written, connections)
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
        end=end_of(written, wishes, places.paths),
    )
    containers = containers_of(setting)
    pod = pod_of(setting, containers)
    profile = profile_of(pod, written.environment.annotations)
    job = job_of(setting, pod, failure_policy=wishes.failure_policy)
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


def _destination(connection: Connection, to: str) -> tuple[str, str]:
    """Where outputs go, whatever the connection is called: a bucket or volume, and the prefix in it."""
    schema = connection.schema
    if not isinstance(schema, Bucket):
        return str(volume_source(schema)), to.strip("/")
    place = parse_bucket(connection.kind, schema.bucket)
    host = connection.options.endpoint or place.endpoint or place.account or connection.kind
    return f"{host} {place.bucket}", below(place.prefix, to.strip("/"))


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


def _config_map(setting: Setting, name: str) -> dict[str, Any]:
    written = setting.written
    named = [one for one in setting.connections.values() if one.origin != "uri"]
    data = {
        "connections.yaml": text_of(catalog_of(named)) if named else "connections: []\n",
        "job.yaml": text_of({"run": written.blocks}),
    }
    size_bytes = sum(len(text.encode()) for text in data.values())
    if size_bytes > LARGEST_BYTES:
        written.fail(
            "",
            f"its blocks and connections are {size_bytes} bytes, and a ConfigMap holds {LARGEST_BYTES}",
            "name directories with include and exclude instead of single files, or make several Jobs",
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata_of(written, name),
        "data": data,
    }


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
