"""
ETags that can be computed: the MD5 of an object that was put whole, and for one that came by parts the
MD5 of its parts' MD5s with ``-`` and their number. (S3, "Checking object integrity"; not with KMS or
customer keys.)
"""

import hashlib
import os
import re
from typing import Final

from lighterman.errors import SourceChangedError
from lighterman.stores.contract import ETag, Part, Window
from lighterman.stores.windows import CHUNK_BYTES, reading_failed

_MD5: Final = re.compile(r"[0-9a-f]{32}")


def of_parts(parts: list[Part]) -> ETag | None:
    """What an object of these parts gets; ``None`` where a part's own ETag isn't an MD5."""
    if not parts or not all(_MD5.fullmatch(part.etag) for part in parts):
        return None
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return ETag(f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}")


def of_content(window: Window, part_bytes: int | None) -> ETag:
    """What an object of a window's bytes gets, put whole or by parts of ``part_bytes``."""
    if part_bytes is None:
        return ETag(_md5(window))
    starts = range(0, window.size_bytes, part_bytes) or range(1)
    parts = [
        Part(number, ETag(_md5(part)), part.size_bytes)
        for number, part in enumerate(
            (
                Window(
                    window.descriptor,
                    window.start + start,
                    min(part_bytes, window.size_bytes - start),
                )
                for start in starts
            ),
            start=1,
        )
    ]
    etag = of_parts(parts)
    assert etag is not None  # noqa: S101  # each part's ETag was made here
    return etag


def _md5(window: Window) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    while done < window.size_bytes:
        wanted = min(CHUNK_BYTES, window.size_bytes - done)
        try:
            data = os.pread(window.descriptor, wanted, window.start + done)
        except OSError as error:
            raise reading_failed(error, "the file being compared") from error
        if not data:
            raise SourceChangedError("the file being compared became shorter")
        digest.update(data)
        done += len(data)
    return digest.hexdigest()
