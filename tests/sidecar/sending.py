"""An outputs directory, a bucket on a real store, and an uploader between them."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lighterman.clock import SystemClock
from lighterman.stores.contract import Key, Store, Window
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally
from sidecar.journal import Journal
from sidecar.output import REST_SECONDS
from sidecar.states import RelPath
from sidecar.upload import Result, Uploader

MIB = 1 << 20
REST_DEADLINE_SECONDS = 10.0


class Acting:
    """A store that calls what it is told to before a method, or in its place, and counts the calls."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []
        self._before: dict[str, list[Callable[[], object]]] = {}

    def before(self, method: str, *actions: Callable[[], object]) -> None:
        """Each action is called once, before one call of the method; what it raises is raised."""
        self._before.setdefault(method, []).extend(actions)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: object, **options: object) -> object:
            self.calls.append(name)
            if self._before.get(name):
                self._before[name].pop(0)()
            return attribute(*arguments, **options)

        return call


class HastyClock(SystemClock):
    """Waits between attempts are over at once."""

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        return until is not None and until.is_set()


class Outputs:
    """One run of the uploader over one outputs directory. ``restart`` makes the next one."""

    def __init__(
        self,
        directory: Path,
        store: Store,
        prefix: str = "run-1",
        *,
        fails_on_conflict: bool = False,
    ) -> None:
        self.root = directory / "outputs"
        self.root.mkdir()
        self.state = str(directory / "state")
        self.store = Acting(store)
        self.prefix = prefix
        self.fails_on_conflict = fails_on_conflict
        self.settings = TransferSettings(memory_bytes=64 * MIB, retry_seconds=5.0)
        self.budget = Budget(self.settings.memory_bytes)
        self.journal: Journal | None = None
        self.uploader: Uploader
        self.tally: Tally
        self.restart()

    def restart(self, clock: Any = None, part_threads: int = 1) -> None:
        self.close()
        clock = clock or SystemClock()
        self.tally = Tally()
        self.journal = Journal.open(self.state, f"{self.store.destination}/{self.prefix}")
        self.uploader = Uploader(
            self.store,
            self.prefix,
            str(self.root),
            self.journal,
            settings=self.settings,
            clock=clock,
            attempts=Attempts(self.settings.retry_seconds, HastyClock(), self.tally),
            pace=Pace(8),
            budget=self.budget,
            tally=self.tally,
            part_threads=part_threads,
            fails_on_conflict=self.fails_on_conflict,
        )
        self.store.calls.clear()

    def close(self) -> None:
        if self.journal is not None:
            self.uploader.close()
            self.journal.close()

    def write(self, path: str, content: bytes = b"content") -> RelPath:
        """Write an output, and wait until its state can be trusted."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.rest(path)
        return RelPath(path)

    def rest(self, path: str) -> None:
        """Wait until the file's ctime is as old as a look wants it."""
        deadline = time.monotonic() + REST_DEADLINE_SECONDS
        clock = SystemClock()
        while clock.wall() - os.stat(self.root / path).st_ctime < REST_SECONDS:
            assert time.monotonic() < deadline
            clock.wait(REST_SECONDS / 4)

    def send(self, path: str, **options: Any) -> Result:
        return self.uploader.send(RelPath(path), **options).result

    def key(self, path: str) -> Key:
        return Key(f"{self.prefix}/{path}" if self.prefix else path)

    def stored(self, path: str) -> bytes:
        """The object's content, by the store itself."""
        stat = self.store.stat(self.key(path))
        descriptor = os.memfd_create("stored")
        try:
            self.store.read_into(
                stat.key, Window(descriptor, 0, stat.size_bytes), at=0, etag=stat.etag
            )
            return os.pread(descriptor, stat.size_bytes + 1, 0)
        finally:
            os.close(descriptor)

    def listed_keys(self) -> list[str]:
        return [entry.key for page in self.store.pages("") for entry in page]

    def open_uploads(self) -> list[str]:
        return [upload.key for upload in self.store.open_uploads("")]

    def synced(self, path: str):
        assert self.journal is not None
        return self.journal.synced(RelPath(path))


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Content of which no two parts are alike, another one for each seed."""
    line = b"%08d:%016d\n"
    count = size_bytes // len(line % (seed, 0)) + 1
    return b"".join(line % (seed, number) for number in range(count))[:size_bytes]
