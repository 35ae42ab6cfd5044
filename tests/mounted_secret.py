"""A secret as Kubernetes mounts it."""

import os
from collections.abc import Mapping
from pathlib import Path


class MountedSecret:
    """A directory of symlinks through ``..data``, which is replaced by one rename, as the kubelet does it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.version = 0
        root.mkdir()

    def put(self, files: Mapping[str, str | bytes]) -> None:
        self.version += 1
        data = self.root / f"..2026_11_{self.version}"
        data.mkdir()
        for name, content in files.items():
            (data / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        fresh = self.root / "..data_tmp"
        fresh.symlink_to(data.name)
        os.replace(fresh, self.root / "..data")
        for name in files:
            link = self.root / name
            if not link.is_symlink():
                link.symlink_to(f"..data/{name}")
        for link in self.root.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
