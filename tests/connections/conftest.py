"""A secret as Kubernetes mounts it, and a clock to look at it by."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mounted_secret import MountedSecret


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
