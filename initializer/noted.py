"""The notes of earlier runs, asked for in the order of the paths: many rows with one query, where many are wanted."""

from typing import Final

from initializer.plan import Placed
from initializer.state import State

_MOST_ROWS: Final = 512
_WORTH_A_HIT_ROWS: Final = 4
"""A row that is asked for alone costs as much as so many that come with others."""


class Noted:
    """
    Answers as ``State.placed`` does, while nothing is noted. Paths that come in order, and are noted, cost little;
    in any other order they cost a query each. Holds 512 rows at most.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: dict[bytes, Placed] = {}
        self._from = b""
        self._to: bytes | None = b""
        """The rows are all from ``_from`` to ``_to``; ``None``: to the end."""
        self._most = 1
        self._hits = 0

    def placed(self, path: str) -> Placed | None:
        """What is noted of the file at an absolute path below the root."""
        key = self._state.relative(path)
        if key < self._from or (self._to is not None and key > self._to):
            self._read(path, key)
        found = self._rows.get(key)
        if found is not None:
            self._hits += 1
        return found

    def _read(self, path: str, key: bytes) -> None:
        is_worth_it = self._hits * _WORTH_A_HIT_ROWS >= self._most
        self._most = min(_MOST_ROWS, self._most * 2) if is_worth_it else max(1, self._most // 2)
        found = self._state.placed_from(path, self._most)
        self._rows, self._hits = dict(found), 0
        self._from, self._to = key, found[-1][0] if len(found) == self._most else None
