"""The pod's volumes: the user's own, and those that paths, connections and secrets need."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from lighterman.pods.documents import VolumeMount, plain
from lighterman.pods.read import Written
from sidecar.outputs import is_within

LONGEST_NAME: Final = 63
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


class Mounted(NamedTuple):
    """A volume at a path of a container; of the pod's volumes, which one, and which part of it."""

    volume: str
    path: str
    read_only: bool = False
    sub_path: str | None = None
    sub_path_expr: str | None = None

    def as_member(self) -> dict[str, Any]:
        """As one of a container's ``volumeMounts``."""
        mount = VolumeMount(
            name=self.volume,
            mount_path=self.path,
            read_only=True if self.read_only else None,
            sub_path=self.sub_path,
            sub_path_expr=self.sub_path_expr,
        )
        return plain(mount)


class Volumes:
    """All volumes of one pod, each name once. One source is one volume, whoever asks for it."""

    def __init__(self, written: Written) -> None:
        """``ConfigurationError`` for two volumes of the user's with one name."""
        self._members: dict[str, dict[str, Any]] = {}
        for index, volume in enumerate(written.run.volumes or ()):
            if volume.name in self._members:
                place = written.place("volumes", index, "name")
                written.fail(place, f"another volume is called {volume.name}", "rename one of them")
            self._members[volume.name] = plain(volume)

    def named(self, wished: str, source: Mapping[str, Any]) -> str:
        """The name of the volume with this source, made now if there is none; as ``made`` names it."""
        for name, member in self._members.items():
            if member == {"name": name, **source}:
                return name
        return self.made(wished, source)

    def made(self, wished: str, source: Mapping[str, Any]) -> str:
        """The name of a new volume: ``wished``, as far as that is a name and free."""
        base = _NOT_IN_NAMES.sub("-", wished.lower()).strip("-")[: LONGEST_NAME - 3].strip("-")
        base = name = base or "volume"
        number = 1
        while name in self._members:
            number += 1
            name = f"{base}-{number}"
        self._members[name] = {"name": name, **source}
        return name

    def source(self, name: str) -> Mapping[str, Any] | None:
        """A volume as it stands in the manifest; ``None``: there is none of that name."""
        return self._members.get(name)

    def members(self) -> list[dict[str, Any]]:
        """All of them, the user's first."""
        return list(self._members.values())


def read_only_kind(source: Mapping[str, Any]) -> str:
    """Why nobody can write to a volume, whatever a mount says; nothing, if that isn't known of it."""
    for kind in ("configMap", "secret", "downwardAPI", "projected", "image"):
        if kind in source:
            return f"is a {kind}: read-only"
    members = [member for member in source.values() if isinstance(member, Mapping)]
    return "is read-only" if any(member.get("readOnly") is True for member in members) else ""


def covering(path: str, mounts: Iterable[Mounted]) -> Mounted | None:
    """The mount that a path lies on: of several, the innermost."""
    found = [mount for mount in mounts if is_within(path, mount.path)]
    return max(found, key=lambda mount: len(mount.path), default=None)


def outermost(paths: Iterable[str]) -> list[str]:
    """Those of ``paths`` that lie in no other, each once, in their order."""
    unique = list(dict.fromkeys(paths))
    return [
        path
        for path in unique
        if not any(other != path and is_within(path, other) for other in unique)
    ]
