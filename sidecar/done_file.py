"""``--done-file``: main tells its end by a file."""

import os
from collections.abc import Callable
from typing import Final

from lighterman.clock import Clock
from sidecar.states import FileState

LOOK_SECONDS: Final = 1.0
"""How often it is looked for where no event tells of it."""


class DoneFile:
    """A file that is there already doesn't count, until something happens to it."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = os.path.abspath(path)
        self._clock = clock
        self._before = self._state()
        self._is_watched = False
        self.look_at: float | None = clock.monotonic()
        """When to look of one's own accord; ``None``: an event wakes whoever waits for it."""

    def watch(self, watch_directory: Callable[[str], bool]) -> None:
        """Have events tell of it, where its directory is there and can be watched."""
        self._is_watched = watch_directory(os.path.dirname(self._path))
        self.look_at = None if self._is_watched else self._clock.monotonic()

    def is_there(self) -> bool:
        """Whether main has said its end since the start."""
        if not self._is_watched:
            self.look_at = self._clock.monotonic() + LOOK_SECONDS
        now = self._state()
        return now is not None and now != self._before

    def _state(self) -> FileState | None:
        try:
            return FileState.of(os.stat(self._path))
        except OSError:
            return None
