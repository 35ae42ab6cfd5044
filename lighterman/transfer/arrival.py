"""Bytes that are on their way: over a slow link a range takes minutes, and its progress is to be seen."""

from types import TracebackType
from typing import Final, Self

from lighterman.stores.contract import Digest
from lighterman.transfer.tally import Tally

LEAST_BYTES: Final = 1024 * 1024
"""What is smaller is soon there, or one of many."""


class Arrival:
    """
    One attempt at a range, from entering to leaving the block, as a digest that sees its bytes pass. They
    count as arriving in the tally; afterwards they are carried, or lost, which is for others to say.
    """

    def __init__(self, tally: Tally, digest: Digest | None) -> None:
        self._tally = tally
        self._digest = digest
        self._size_bytes = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """More bytes came."""
        size_bytes = len(data)
        self._size_bytes += size_bytes
        self._tally.arriving(size_bytes)
        if self._digest is not None:
            self._digest.update(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tally.arriving(-self._size_bytes)
