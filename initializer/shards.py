"""
Which files of an entry are this pod's. Every pod of an Indexed Job computes the same from the same listing,
without a word to the others, in one pass and memory for one number or two of each pod.
"""

import hashlib
import heapq
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from lighterman.errors import ConfigurationError
from lighterman.stores.contract import Listed
from lighterman.transfer.tally import Sharded

FILE_BYTES: Final = 128 * 1024
"""
What a file costs beside its bytes, in bytes: 4,000 small ones come in the time of 500 MB of a large one
(0.25 s, and 0.54 s for 1 GiB, over one local server).
"""
MOST_SHARDS: Final = 100_000
"""Of an Indexed Job: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode"""
_VARIABLE: Final = re.compile(
    r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}|\(([A-Za-z_]\w*)\))", re.ASCII
)
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_DIGEST_BYTES: Final = 16
_ROWS_AT_ONCE: Final = 256


class Shard(msgspec.Struct, frozen=True):
    """One part of ``count``, by its number from 0."""

    index: int
    count: int


def shard_of(index: str, count: str, place: str, environ: Mapping[str, str]) -> Shard:
    """
    The shard that two texts name, each a number or a variable (``$NAME``, ``${NAME}``, ``$(NAME)``).
    ``ConfigurationError`` that begins with ``place`` and names the one that is off.
    """
    shard = Shard(
        _number(index, f"{place}.index", environ), _number(count, f"{place}.count", environ)
    )
    if not 1 <= shard.count <= MOST_SHARDS:
        raise ConfigurationError(
            f"{place}.count: {count} is {shard.count}",
            hint=f"it is the number of all pods, from 1 to {MOST_SHARDS}",
        )
    if shard.index >= shard.count:
        raise ConfigurationError(
            f"{place}.index: {index} is {shard.index}, of a count of {shard.count}",
            hint="the first index is 0, the last one less than the count; is count the Job's completions?",
        )
    return shard


def _number(text: str, place: str, environ: Mapping[str, str]) -> int:
    variable = _VARIABLE.fullmatch(text)
    value = text
    if variable:
        name = variable[1] or variable[2] or variable[3]
        value = environ.get(name, "")
        if not value:
            raise ConfigurationError(
                f"{place}: ${name} isn't set",
                hint="in an Indexed Job every pod has $JOB_COMPLETION_INDEX",
            )
    if not _NUMBER.fullmatch(value):
        raise ConfigurationError(
            f"{place}: {text} is {value!r}, no number"
            if variable
            else f"{place}: {text!r} is no number",
            hint="write a whole number, or a variable like $JOB_COMPLETION_INDEX",
        )
    return int(value)


class _Least:
    """The owner of the least number of those that only grow."""

    def __init__(self, count: int) -> None:
        self.numbers = [0] * count
        self._heap = [(0, owner) for owner in range(count)]

    def owner(self) -> int:
        """The first of them, where several have the least."""
        heap, numbers = self._heap, self.numbers
        while heap[0][0] != numbers[heap[0][1]]:
            heapq.heappop(heap)
        return heap[0][1]

    def add(self, owner: int, amount: int) -> None:
        if not amount:
            return
        heap, numbers = self._heap, self.numbers
        numbers[owner] += amount
        if heap[0][1] == owner:
            heapq.heapreplace(heap, (numbers[owner], owner))
        else:
            heapq.heappush(heap, (numbers[owner], owner))
            if len(heap) > 4 * len(numbers) + 64:  # most of it was overtaken
                heap[:] = [(number, one) for one, number in enumerate(numbers)]
                heapq.heapify(heap)


class Balance:
    """
    Gives each file to the shard with the least to do, where a file counts ``FILE_BYTES`` more than it has; but
    never so that a shard's bytes exceed another's by more than one largest file.
    """

    def __init__(self, count: int) -> None:
        self._loads = _Least(count)
        self._bytes = _Least(count)
        self._largest_bytes = 0

    def owner_of_next(self, size_bytes: int) -> int:
        """The number of the shard that the next file goes to."""
        self._largest_bytes = max(self._largest_bytes, size_bytes)
        owner, lightest = self._loads.owner(), self._bytes.owner()
        sizes = self._bytes.numbers
        if sizes[owner] + size_bytes > sizes[lightest] + self._largest_bytes:
            owner = lightest
        self._loads.add(owner, size_bytes + FILE_BYTES)
        self._bytes.add(owner, size_bytes)
        return owner


class Share:
    """
    What of one entry is this pod's. It is told of everything that the entry wants, in the order of the paths, and
    sums up the listing that its answers follow from.
    """

    def __init__(self, connection: str, shard: Shard) -> None:
        self._connection = connection
        self._shard = shard
        self.begin_again()

    def begin_again(self) -> None:
        """Forget what it was told: the listing is made anew."""
        self._balance = Balance(self._shard.count)
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._rows: list[str] = []
        self._files = 0
        self._size_bytes = 0

    def takes(self, listed: Listed, *, is_directory: bool) -> bool:
        """Whether it comes to this pod. A directory comes to each."""
        self._rows.append(f"{listed.key}\0{listed.size_bytes}\0{listed.etag}\0")
        if len(self._rows) == _ROWS_AT_ONCE:
            self._sum_up()
        if is_directory:
            return True
        self._files += 1
        self._size_bytes += listed.size_bytes
        return self._balance.owner_of_next(listed.size_bytes) == self._shard.index

    def told(self) -> Sharded:
        """What it was told of so far."""
        self._sum_up()
        return Sharded(
            connection=self._connection,
            index=self._shard.index,
            count=self._shard.count,
            listed_files=self._files,
            listed_bytes=self._size_bytes,
            listing_digest=self._digest.hexdigest(),
        )

    def _sum_up(self) -> None:
        self._digest.update("".join(self._rows).encode("utf-8", "surrogatepass"))
        self._rows.clear()
