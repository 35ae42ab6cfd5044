"""
ETags that can be computed: the MD5 of an object that was put whole, and for one that came by parts the
MD5 of its parts' MD5s with ``-`` and their number. (S3, "Checking object integrity"; not with KMS or
customer keys.)
"""

import hashlib
import re
from typing import Final

from lighterman.checksums import MD5, checksum, of_window
from lighterman.stores.contract import Checksum, ETag, Part, Window

_MD5: Final = re.compile(r"[0-9a-f]{32}")
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html: an object that was put whole."""


def checksum_of(etag: str) -> Checksum | None:
    """The checksum that an ETag is by its form."""
    return checksum(MD5, etag) if _MD5.fullmatch(etag) else None


def of_parts(parts: list[Part]) -> ETag | None:
    """What an object of these parts gets; ``None`` where a part's own ETag isn't an MD5."""
    if not parts or not all(_MD5.fullmatch(part.etag) for part in parts):
        return None
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return ETag(f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}")


def of_content(window: Window) -> ETag:
    """What an object, or a part, of a window's bytes gets."""
    return ETag(of_window(MD5, window))


def of_content_by_parts(window: Window, part_bytes: int) -> ETag | None:
    """What an object of a window's bytes gets that came by parts of ``part_bytes``."""
    parts = []
    for number, start in enumerate(range(0, max(1, window.size_bytes), part_bytes), start=1):
        size_bytes = min(part_bytes, window.size_bytes - start)
        part = Window(window.descriptor, window.start + start, size_bytes)
        parts.append(Part(number, of_content(part), size_bytes))
    return of_parts(parts)
