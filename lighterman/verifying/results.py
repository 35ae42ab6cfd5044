"""What a comparison found, printed as it comes and summed up: the first differences by name, all by number."""

import contextlib
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from lighterman.errors import LightermanError, UntrustedDataError
from lighterman.secret import scrub
from lighterman.stores.contract import Key
from lighterman.text import encodable, human_bytes, one_line
from lighterman.transfer.tally import Tally

MOST_SHOWN: Final = 100
"""Differences that are printed; the rest is counted."""
_WIDTH: Final = 8


class State(StrEnum):
    """What is wrong with one object."""

    MISSING = "missing"
    DIFFERS = "differs"
    BESIDE = "beside"
    """Nobody names it."""


class Results:
    """The counts of one comparison. One thread's."""

    def __init__(self, show: Callable[[str, dict[str, object]], None], tally: Tally) -> None:
        self._show = show
        self._tally = tally
        self._shown = 0
        self.equal_files = 0
        self.equal_bytes = 0
        self.by_size_alone = 0
        self.different = 0
        self.beside = 0
        self.first: Key | None = None

    def equal(self, size_bytes: int, *, by_size_alone: bool) -> None:
        """One file is as it should be, as far as it was looked at."""
        self.equal_files += 1
        self.equal_bytes += size_bytes
        if by_size_alone:
            self.by_size_alone += 1
            self._tally.unverified_file()
        self._tally.done()

    def different_file(self, key: Key, state: State, said: str) -> None:
        """One file isn't."""
        self.different += 1
        self.first = self.first or key
        self._tally.failed(encodable(key), UntrustedDataError.kind, said)
        self._name(key, state, said)

    def beside_it(self, key: Key, *, counts: bool) -> None:
        """An object that nobody names; a difference where it ``counts``."""
        self.beside += 1
        if counts:
            self.different_file(key, State.BESIDE, "nobody names it")

    def verdict(self) -> LightermanError | None:
        """Say what it all amounts to; ``None`` if all is equal."""
        state = "unequal" if self.different else "equal"
        size = human_bytes(self.equal_bytes)
        parts = [f"{self.equal_files} files, {size}"]
        if self.different:
            parts.insert(0, f"{self.different} differ")
        if self.by_size_alone:
            parts.append(f"{self.by_size_alone} of them by their size alone (--read compares them)")
        if self.beside:
            parts.append(f"{self.beside} objects beside them")
        fields = {
            "state": state,
            "files": self.equal_files,
            "bytes": self.equal_bytes,
            "different": self.different,
            "by_size_alone": self.by_size_alone,
            "beside": self.beside,
        }
        self._show(f"{state:<{_WIDTH}} {'; '.join(parts)}", fields)
        if not self.different:
            return None
        return UntrustedDataError(
            f"{self.different} files of {self.different + self.equal_files} are not as they should be",
            hint="have them sent again (lighterman sync), or bring back what they were",
            key=self.first or "",
        )

    def _name(self, key: Key, state: State, said: str) -> None:
        self._shown += 1
        if self._shown > MOST_SHOWN:
            return
        fields: dict[str, object] = {"state": str(state), "key": encodable(key), "said": said}
        self._show(f"{state:<{_WIDTH}} {encodable(key)}: {said}", fields)


def printer(style: str | None) -> Callable[[str, dict[str, object]], None]:
    """Prints to stdout, secrets masked: as ``text`` or ``json``, if not by what stdout is."""
    if style is None:
        style = "text" if sys.stdout and sys.stdout.isatty() else "json"

    def show(line: str, fields: dict[str, object]) -> None:
        text = one_line(line) if style == "text" else json.dumps(fields, ensure_ascii=True)
        # Whoever read it may have gone away; the report and the code don't depend on it.
        with contextlib.suppress(OSError, ValueError):
            print(scrub(text), flush=True)  # noqa: T201 - what was asked for

    return show
