"""A secret as Kubernetes mounts it, and a clock to look at it by."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


class HandClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_seconds = 100.0

    def monotonic(self) -> float:
        return self.now_seconds

    def wall(self) -> float:
        return self.now_seconds

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.now_seconds += seconds
        return bool(until and until.is_set())


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


@pytest.fixture
def hand_clock() -> HandClock:
    return HandClock()


@pytest.fixture
def mounted(tmp_path: Path) -> Callable[..., MountedSecret]:
    """Make a mounted secret: ``mounted("name", {"KEY": "value"})``."""

    def make(name: str, files: Mapping[str, str | bytes]) -> MountedSecret:
        secret = MountedSecret(tmp_path / name)
        secret.put(files)
        return secret

    return make
