"""
A pod's volumes as directories of this machine, made as a kubelet makes them. Needs root: their owners
are root, and their group the pod's ``fsGroup``.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubelet_documents import (
    ConfigMapVolume,
    EmptyDir,
    ManifestError,
    PodSpec,
    SecretVolume,
    Volume,
)
from kubelet_rules import config_map_texts, quantity_bytes, secret_bytes

READ_WRITE, READ_ONLY, SEARCH, SET_GID = 0o660, 0o440, 0o110, 0o2000
"""What ``fsGroup`` adds to modes: pkg/volume/volume_linux.go in Kubernetes' sources."""


class Volumes:
    """
    The volumes of one pod, by name.

    - ``emptyDir`` is a directory with mode 0777, with ``medium: Memory`` a tmpfs of ``sizeLimit``.
    - ``configMap`` and ``secret`` are laid out as pkg/volume/util/atomic_writer.go does: keys are symlinks
      through ``..data`` into a directory of this version. They are always mounted read-only.
    - ``persistentVolumeClaim`` is the directory that the test names for the claim.
    - ``fsGroup`` gives all of these their group and its permissions, set-gid on directories (with
      ``fsGroupChangePolicy: OnRootMismatch`` unless the root has them); ``hostPath``
      stays as it is (https://kubernetes.io/docs/tasks/configure-pod-container/security-context/).
    """

    def __init__(
        self,
        root: Path,
        pod: PodSpec,
        config_maps: Mapping[str, Any],
        secrets: Mapping[str, Any],
        claims: Mapping[str, Path],
    ) -> None:
        self._config_maps = config_maps
        self._secrets = secrets
        self._claims = claims
        self._group = pod.security_context.fs_group
        self._keeps = pod.security_context.fs_group_change_policy == "OnRootMismatch"
        self._mounted: list[Path] = []
        self._read_only: set[str] = set()
        self._paths: dict[str, Path] = {}
        root.mkdir()
        for volume in pod.volumes:
            if volume.name in self._paths:
                raise ManifestError(f"two volumes are called {volume.name}")
            self._paths[volume.name] = self._make(volume, root / volume.name)

    def source(self, name: str, sub_path: str = "") -> Path:
        """What is mounted for a volume, or for a path in it, which is made if it is missing."""
        if name not in self._paths:
            raise ManifestError(f"no volume {name}")
        if not sub_path:
            return self._paths[name]
        if sub_path.startswith("/") or ".." in Path(sub_path).parts:
            raise ManifestError(f"subPath {sub_path}")
        inside = self._paths[name] / sub_path
        if not inside.exists():
            inside.mkdir(mode=0o750, parents=True)
            if self._group is not None:
                os.chown(inside, -1, self._group)
                inside.chmod(0o2770)
        return inside.resolve()

    def is_read_only(self, name: str) -> bool:
        """Whatever the mount says."""
        return name in self._read_only

    def remove(self) -> None:
        for path in self._mounted:
            subprocess.run(["umount", path], check=True)
        self._mounted.clear()

    def _make(self, volume: Volume, path: Path) -> Path:
        if volume.empty_dir is not None:
            return self._owned(self._make_empty(volume.empty_dir, path))
        if volume.config_map is not None:
            held = volume.config_map
            found = self._config_maps.get(held.name)
            values = (
                {key: text.encode() for key, text in config_map_texts(found).items()}
                | found.binary_data
                if found
                else None
            )
            return self._make_projected(volume.name, held.name, held, values, path)
        if volume.secret is not None:
            held = volume.secret
            found = self._secrets.get(held.secret_name)
            values = secret_bytes(found) if found else None
            return self._make_projected(volume.name, held.secret_name, held, values, path)
        if volume.host_path is not None:
            own = Path(volume.host_path.path)
            if volume.host_path.type == "DirectoryOrCreate" and not own.exists():
                own.mkdir(mode=0o755)
            if not own.is_dir():
                raise ManifestError(f"hostPath {own} is no directory")
            return own
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim
            if claim.claim_name not in self._claims:
                raise ManifestError(f"no claim {claim.claim_name}")
            if claim.read_only:
                self._read_only.add(volume.name)
            return self._owned(self._claims[claim.claim_name])
        raise ManifestError(f"volume {volume.name} has no source")

    def _make_empty(self, empty: EmptyDir, path: Path) -> Path:
        path.mkdir()
        if empty.medium == "Memory":
            size = f"size={quantity_bytes(empty.size_limit)}" if empty.size_limit else "size=50%"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", path], check=True)
            self._mounted.append(path)
        path.chmod(0o777)
        return path

    def _make_projected(
        self,
        volume: str,
        name: str,
        held: ConfigMapVolume | SecretVolume,
        values: Mapping[str, bytes] | None,
        path: Path,
    ) -> Path:
        self._read_only.add(volume)
        if values is None and not held.optional:
            raise ManifestError(f"no ConfigMap or Secret {name}")
        values = values or {}
        version = path / "..2026_11_27_00_00_00.000000001"
        version.mkdir(parents=True)
        (path / "..data").symlink_to(version.name)
        for key, place, mode in _placed(held, values):
            target = version / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(values[key])
            target.chmod(mode)
            first = Path(place).parts[0]
            if not (path / first).is_symlink():
                (path / first).symlink_to(f"..data/{first}")
        for directory in (path, version):
            directory.chmod(0o1777 if directory == path else 0o755)
        return self._owned(path, read_only=True)

    def _owned(self, root: Path, *, read_only: bool = False) -> Path:
        if self._group is None or (self._keeps and _is_of(root, self._group)):
            return root
        for path in (root, *root.rglob("*")):
            os.chown(path, -1, self._group, follow_symlinks=False)
            if path.is_symlink():
                continue
            added = READ_ONLY if read_only else READ_WRITE
            if path.is_dir():
                added |= SEARCH | SET_GID
            path.chmod(path.stat().st_mode | added)
        return root


def _is_of(root: Path, group: int) -> bool:
    """``OnRootMismatch`` looks at the volume's root alone."""
    state, wanted = root.stat(), READ_WRITE | SEARCH | SET_GID
    return state.st_gid == group and state.st_mode & wanted == wanted


def _placed(
    held: ConfigMapVolume | SecretVolume, values: Mapping[str, bytes]
) -> list[tuple[str, str, int]]:
    """Key, path and mode of each file of a projected volume."""
    if held.items is None:
        return [(key, key, held.default_mode) for key in values]
    chosen = []
    for item in held.items:
        if item.key not in values:
            if held.optional:
                continue
            raise ManifestError(f"no key {item.key}")
        mode = held.default_mode if item.mode is None else item.mode
        chosen.append((item.key, item.path, mode))
    return chosen
