"""
Mode and mtime as metadata, under the keys and in the form of rclone's S3 backend with ``--metadata``:
``mtime`` as seconds with a fraction, ``mode`` in octal with the file type (``100644``). s3fs writes the
same keys, the mode in decimal; both are read.
"""

import re
from collections.abc import Mapping
from typing import Final

from lighterman.stores.contract import Attributes
from lighterman.stores.metadata import MODE, MTIME, NANOSECONDS, mode_text, parsed_mode

__all__ = ["MODE", "MTIME", "from_metadata", "to_metadata"]

_SECONDS: Final = re.compile(r"\s*(-?)(\d{1,12})(?:\.(\d+))?\s*")


def to_metadata(attributes: Attributes, key: str) -> dict[str, str]:
    """The metadata that an object under ``key`` is given for its attributes."""
    metadata = {}
    if attributes.mtime_ns is not None:
        metadata[MTIME] = _seconds(attributes.mtime_ns)
    if attributes.mode is not None:
        metadata[MODE] = mode_text(attributes.mode, key)
    return metadata


def from_metadata(metadata: Mapping[str, str], content_type: str | None) -> Attributes:
    """Attributes of an object's metadata. What can't be read isn't known; it is no error."""
    mode, mtime = metadata.get(MODE, ""), metadata.get(MTIME, "")
    return Attributes(content_type, parsed_mode(mode), _parsed_mtime(mtime))


def _seconds(mtime_ns: int) -> str:
    seconds, nanoseconds = divmod(abs(mtime_ns), NANOSECONDS)
    sign = "-" if mtime_ns < 0 else ""
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{sign}{seconds}{fraction}"


def _parsed_mtime(text: str) -> int | None:
    match = _SECONDS.fullmatch(text)
    if not match:
        return None
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * NANOSECONDS + int((fraction or "0")[:9].ljust(9, "0"))
    return -nanoseconds if sign else nanoseconds
