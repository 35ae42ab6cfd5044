"""``--done-file``: main tells its end by a file."""

import os
from collections.abc import Callable
from typing import Final

from lighterman.clock import Clock
from sidecar.states import FileState

LOOK_SECONDS: Final = 1.0
"""How often it is looked for where no event tells of it."""
LOOK_ANYWAY_SECONDS: Final = 10.0
"""
How often where one should: its directory may be removed and made again, or lie on a filesystem that
tells of no changes, and a sidecar that misses the file waits for ever.
"""


class DoneFile:
    """A file that is there already doesn't count, until something happens to it."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = os.path.abspath(path)
        self._clock = clock
        self._before = self._state()
        self._is_watched = False
        self.look_at = clock.monotonic()
        """When to look of one's own accord; an event may wake whoever waits for it before."""

    def watch(self, watch_directory: Callable[[str], bool]) -> None:
        """Have events tell of it, where its directory is there and can be watched."""
        self._is_watched = watch_directory(os.path.dirname(self._path))
        self.look_at = self._clock.monotonic()

    def is_there(self) -> bool:
        """Whether main has said its end since the start."""
        wait_seconds = LOOK_ANYWAY_SECONDS if self._is_watched else LOOK_SECONDS
        self.look_at = self._clock.monotonic() + wait_seconds
        now = self._state()
        return now is not None and now != self._before

    def _state(self) -> FileState | None:
        try:
            return FileState.of(os.stat(self._path))
        except OSError:
            return None
