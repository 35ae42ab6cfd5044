"""
Checksums of content, in the two kinds that stores tell of their objects: MD5 (S3's plain ETags, Azure's
Content-MD5) and CRC32C (GCS). They find damage; they protect against nobody.
"""

import hashlib
import os
from functools import cache
from typing import Final, Protocol

from lighterman.errors import SourceChangedError
from lighterman.stores.contract import Checksum, Window
from lighterman.stores.windows import CHUNK_BYTES, reading_failed

MD5: Final = "md5"
CRC32C: Final = "crc32c"
_POLYNOMIAL: Final = 0x82F63B78
"""Castagnoli's, reflected: RFC 3720, appendix B.4."""


class Sum(Protocol):
    """Takes bytes in order, and tells what they add up to."""

    def update(self, data: bytes | memoryview, /) -> object: ...

    def hexdigest(self) -> str:
        """Lower-case hexadecimal digits, of all bytes so far."""
        ...


class _Crc32c:
    def __init__(self) -> None:
        # In C; a part of what google-cloud-storage needs.
        from google_crc32c import extend

        self._extend = extend
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = self._extend(self._value, bytes(data))  # it takes nothing else

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def new_sum(algorithm: str) -> Sum:
    """A sum of no bytes yet, by ``md5`` or ``crc32c``."""
    if algorithm == CRC32C:
        return _Crc32c()
    return hashlib.new(algorithm, usedforsecurity=False)


def checksum(algorithm: str, hexdigest: str) -> Checksum:
    """The checksum as stores and listings tell it."""
    return Checksum(f"{algorithm}:{hexdigest}")


def algorithm_of(expected: Checksum) -> str:
    """``md5`` or ``crc32c``."""
    return expected.partition(":")[0]


def of_window(algorithm: str, window: Window) -> str:
    """
    The hexadecimal digits of a window's bytes. Reads them in small pieces; ``SourceChangedError`` where the
    file ends before its window does.
    """
    total = new_sum(algorithm)
    done = 0
    while done < window.size_bytes:
        wanted = min(CHUNK_BYTES, window.size_bytes - done)
        try:
            data = os.pread(window.descriptor, wanted, window.start + done)
        except OSError as error:
            raise reading_failed(error, "the file being compared") from error
        if not data:
            raise SourceChangedError("the file being compared became shorter")
        total.update(data)
        done += len(data)
    return total.hexdigest()


def joined_crc32c(first: int, second: int, second_bytes: int) -> int:
    """
    The CRC32C of two pieces one after the other, from those of the pieces: the first one's is carried past
    ``second_bytes`` zero bytes, by squaring the operator of one zero bit (the method of zlib's
    ``crc32_combine``).
    """
    power = 0
    while second_bytes >> power:
        if second_bytes >> power & 1:
            first = _applied(_zeros(power), first)
        power += 1
    return first ^ second


@cache
def _zeros(power: int) -> list[int]:
    """The operator of ``2**power`` zero bytes; column n of it is what it makes of bit n."""
    if power:
        return _squared(_zeros(power - 1))
    # A zero bit shifts, and folds the polynomial in.
    operator = [_POLYNOMIAL, *(1 << bit for bit in range(31))]
    for _ in range(3):  # from one bit to a byte
        operator = _squared(operator)
    return operator


def _applied(operator: list[int], vector: int) -> int:
    result = 0
    for column in operator:
        if not vector:
            break
        if vector & 1:
            result ^= column
        vector >>= 1
    return result


def _squared(operator: list[int]) -> list[int]:
    return [_applied(operator, column) for column in operator]
