"""Where the paths of a job lie: on the user's own volumes where main mounts one there, else on an emptyDir."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lighterman.connections.model import Bucket, Connection
from lighterman.pods.logins import volume_source
from lighterman.pods.paths import CONFIGURATION, STATE, absolute, hidden_by, output_paths
from lighterman.pods.read import Written
from lighterman.pods.volumes import Mounted, Volumes, covering, outermost, read_only_kind
from sidecar.outputs import is_within


class Places(NamedTuple):
    """The mounts of a pod that have to do with paths."""

    paths: Mapping[str, Mounted]
    """Of each path that init fills or the sidecar empties."""
    main_mounts: tuple[Mounted, ...]
    """Those that main doesn't have yet."""
    caches: tuple[Mounted, ...]
    configuration: Mounted
    state: tuple[Mounted, ...]
    """None where there are no outputs."""

    def of(self, path: str) -> Mounted:
        """What is mounted at or above a path."""
        return self.paths[path]

    @property
    def all(self) -> tuple[Mounted, ...]:
        """Those of all paths."""
        return (*dict.fromkeys(self.paths.values()), *self.caches, *self.state)


def places_of(
    written: Written,
    connections: Mapping[str, Connection],
    volumes: Volumes,
    *,
    configuration: str,
    size_limit: str | None,
) -> Places:
    """
    Where each path lies. ``configuration`` is the ConfigMap's name, ``size_limit`` what each emptyDir that is made
    here may hold. ``ConfigurationError`` for a mount that hides a part of what init brings or the sidecar sends.
    """
    owned = _main_mounts(written, connections, volumes)
    outputs = output_paths(written)
    wanted = list(dict.fromkeys((*(entry.destination for entry in written.entries), *outputs)))
    free = outermost(path for path in wanted if covering(path, owned) is None)
    made = tuple(
        Mounted(volumes.made(path.rpartition("/")[2], _empty(size_limit)), path) for path in free
    )
    _check_visible(written, owned, wanted)
    found: dict[str, Mounted] = {}
    for path in wanted:
        mount = covering(path, made) or covering(path, owned)
        assert mount is not None  # noqa: S101 - made above, if it was missing
        if hidden := hidden_by(mount.path):
            written.fail(
                _place_of(written, path),
                f"{path} lies on the volume {mount.volume}, which main mounts at {mount.path}: in Lighterman's "
                f"containers it would hide {hidden}",
                "give it a path of its own",
            )
        kind = read_only_kind(volumes.source(mount.volume) or {})
        if kind:
            written.fail(
                _place_of(written, path),
                f"{path} lies on the volume {mount.volume}, which main mounts at {mount.path}, and which {kind}",
                "give it a path of its own, or mount a volume there that can be written",
            )
        if mount.read_only and mount in owned and path in outputs:
            written.fail(
                _place_of(written, path),
                f"{path} lies on the volume {mount.volume}, which main mounts read-only at {mount.path}",
                "mount it so that main can write there",
            )
        found[path] = mount._replace(read_only=False)
    return Places(
        found,
        made,
        _caches(written, volumes, owned),
        Mounted(
            volumes.named("lighterman", {"configMap": {"name": configuration}}), CONFIGURATION, True
        ),
        (Mounted(volumes.made("lighterman-state", _empty(size_limit)), STATE),) if outputs else (),
    )


def _empty(size_limit: str | None) -> dict[str, Any]:
    """Without a limit unless one is said: the kubelet ends at once, without grace, what passes it."""
    return {"emptyDir": {"sizeLimit": size_limit} if size_limit else {}}


def _main_mounts(
    written: Written, connections: Mapping[str, Connection], volumes: Volumes
) -> tuple[Mounted, ...]:
    found = []
    for index, mount in enumerate(written.run.container.volume_mounts or ()):
        if volumes.source(mount.name) is None:
            written.fail(
                written.place("container", "volumeMounts", index, "name"),
                f"there is no volume {mount.name}",
                f"add it to {written.place('volumes')}",
            )
        found.append(
            Mounted(
                mount.name,
                absolute(mount.mount_path),
                bool(mount.read_only),
                mount.sub_path,
                mount.sub_path_expr,
            )
        )
    for name in written.spec.connections:
        connection = connections[name]
        schema = connection.schema
        if not isinstance(schema, Bucket) and connection.origin != "uri":
            volume = volumes.named(connection.name, volume_source(schema))
            found.append(Mounted(volume, absolute(schema.mount_path), schema.read_only))
    return tuple(found)


def _check_visible(written: Written, owned: tuple[Mounted, ...], wanted: list[str]) -> None:
    for path in wanted:
        for mount in owned:
            if mount.path != path and is_within(mount.path, path):
                written.fail(
                    _place_of(written, path),
                    f"main mounts the volume {mount.volume} at {mount.path}, which hides that part of {path}",
                    f"mount a volume at {path} itself, or give the entry another path",
                )


def _place_of(written: Written, path: str) -> str:
    outputs = output_paths(written)
    if path in outputs:
        return written.output_place(outputs.index(path), "path")
    destinations = [entry.destination for entry in written.entries]
    return written.entry_place(destinations.index(path), "path")


def _caches(written: Written, volumes: Volumes, owned: tuple[Mounted, ...]) -> tuple[Mounted, ...]:
    """A cache is a node's directory, unless a volume of main's is there."""
    found = []
    for path in dict.fromkeys(entry.cache.path for entry in written.entries if entry.cache):
        mount = covering(path, owned)
        if mount is None:
            source = {"hostPath": {"path": path, "type": "DirectoryOrCreate"}}
            mount = Mounted(volumes.named(f"cache-{path.rpartition('/')[2]}", source), path)
        found.append(mount._replace(read_only=False))
    return tuple(found)
