"""
Mode and mtime as metadata, under the keys and in the form of rclone's S3 backend with ``--metadata``:
``mtime`` as seconds with a fraction, ``mode`` in octal with the file type (``100644``). s3fs writes the
same keys, the mode in decimal; both are read.
"""

import re
import stat
from collections.abc import Mapping
from typing import Final

from lighterman.stores.contract import Attributes

MTIME: Final = "mtime"
MODE: Final = "mode"
_NANOSECONDS: Final = 1_000_000_000
_SECONDS: Final = re.compile(r"\s*(-?)(\d{1,12})(?:\.(\d+))?\s*")
_TYPES: Final = {0, stat.S_IFREG, stat.S_IFDIR}


def to_metadata(attributes: Attributes, key: str) -> dict[str, str]:
    """The metadata that an object under ``key`` is given for its attributes."""
    metadata = {}
    if attributes.mtime_ns is not None:
        metadata[MTIME] = _seconds(attributes.mtime_ns)
    if attributes.mode is not None:
        kind = stat.S_IFDIR if key.endswith("/") else stat.S_IFREG
        metadata[MODE] = f"{kind | stat.S_IMODE(attributes.mode):o}"
    return metadata


def from_metadata(metadata: Mapping[str, str], content_type: str | None) -> Attributes:
    """Attributes of an object's metadata. What can't be read isn't known; it is no error."""
    return Attributes(
        content_type, _parsed_mode(metadata.get(MODE, "")), _parsed_mtime(metadata.get(MTIME, ""))
    )


def _seconds(mtime_ns: int) -> str:
    seconds, nanoseconds = divmod(abs(mtime_ns), _NANOSECONDS)
    sign = "-" if mtime_ns < 0 else ""
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{sign}{seconds}{fraction}"


def _parsed_mtime(text: str) -> int | None:
    match = _SECONDS.fullmatch(text)
    if not match:
        return None
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * _NANOSECONDS + int((fraction or "0")[:9].ljust(9, "0"))
    return -nanoseconds if sign else nanoseconds


def _parsed_mode(text: str) -> int | None:
    for base in (8, 10):
        try:
            mode = int(text, base)
        except ValueError:
            continue
        if mode >= 0 and mode & ~0o7777 in _TYPES:
            return stat.S_IMODE(mode)
    return None
