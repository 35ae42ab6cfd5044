"""One file in the tally: planned as its sending begins, done at its end, taken back if it has another."""

from types import TracebackType
from typing import Self

from lighterman.transfer.tally import Tally


class Shipment:
    """Counts one file for the length of a block. Parts may count from many threads."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._planned_bytes = 0
        self._carried_bytes = 0
        self._is_planned = False

    def plan(self, size_bytes: int) -> None:
        """So many bytes will be sent. Planned anew, the former plan is void."""
        self._take_back()
        self._is_planned, self._planned_bytes = True, size_bytes
        self._tally.planned(1, size_bytes)

    def carried(self, size_bytes: int) -> None:
        """So many of them arrived."""
        self._carried_bytes += size_bytes
        self._tally.carried(size_bytes)

    def done(self) -> None:
        """The file is in the bucket."""
        self._is_planned = False
        self._tally.done()

    def _take_back(self) -> None:
        if self._is_planned:
            self._tally.planned(-1, -self._planned_bytes)
            self._tally.carried(-self._carried_bytes)
        self._is_planned, self._carried_bytes = False, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._take_back()
