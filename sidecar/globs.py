"""What the names of outputs mean."""

import re
from collections.abc import Iterable
from typing import Final

from lighterman.globs import Globs
from lighterman.manifest import NAME as MANIFEST
from sidecar.where import STATE_DIRECTORY

TEMPORARY: Final = ("*.tmp", "*.part", ".~*", "*.swp")
"""Names that programs give to files which they mean to rename; the contract's list."""
LIVE: Final = ("*.log", "*.jsonl", "events.out.tfevents.*")
"""Files that grow for hours; the contract's default of ``--live``."""
_OWN_START: Final = ".lighterman-"
_OWN_FILE: Final = re.compile(r"\.lighterman-.*\.tmp", re.DOTALL)
"""Files that init is fetching, and the probe of the watch."""


class Names:
    """What the names of an outputs path mean: who is never watched or synced, who waits, who is live."""

    def __init__(
        self,
        *,
        exclude: Iterable[str] = (),
        live: Iterable[str] = LIVE,
        hidden_directories: Iterable[str] = (STATE_DIRECTORY,),
        marker: str = "",
    ) -> None:
        """``marker`` is the file at the root whose key is the marker's of the whole prefix."""
        self._exclude = Globs(exclude, "--exclude")
        self._live = Globs(live, "--live")
        self._temporary = Globs(TEMPORARY)
        self._hidden_directories = frozenset(hidden_directories)
        self._marker = marker or MANIFEST

    def is_left_out(self, path: str, *, directory: bool = False) -> bool:
        """Whether this very entry is Lighterman's own or excluded; a walk asks it on its way down."""
        if directory and path in self._hidden_directories:
            return True
        if not directory:
            name = path.rpartition("/")[2]
            # What vouches for objects is written once they are there, never sent as a file among them.
            if name == MANIFEST or path == self._marker:
                return True
            if _OWN_START in path and _OWN_FILE.fullmatch(name):
                return True
        return bool(self._exclude) and self._exclude.matches(path, directory=directory)

    def is_covered(self, path: str, *, directory: bool = False) -> bool:
        """As ``is_left_out``, the directories above it included; for a path that nobody walked to."""
        slash = path.find("/")
        while slash != -1:
            if self.is_left_out(path[:slash], directory=True):
                return True
            slash = path.find("/", slash + 1)
        return self.is_left_out(path, directory=directory)

    def is_live(self, path: str) -> bool:
        """Whether the file grows for hours and is sent as a prefix of itself meanwhile."""
        return self._live.covers(path)

    def is_temporary(self, path: str) -> bool:
        """Whether the file waits for the drain."""
        return self._temporary.matches(path)
