"""
Mode and mtime as metadata, in the forms that rclone gives them with ``--metadata``: the mode in octal with
the file type (``100644``) everywhere, the mtime of GCS and Azure as RFC 3339 with nanoseconds (S3's form of
it is S3's own).
"""

import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from lighterman.stores.contract import Attributes

MTIME: Final = "mtime"
MODE: Final = "mode"
NANOSECONDS: Final = 1_000_000_000
_TYPES: Final = {0, stat.S_IFREG, stat.S_IFDIR}
_RFC_3339: Final = re.compile(
    r"\s*(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)\s*"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_metadata(attributes: Attributes, key: str) -> dict[str, str]:
    """The metadata that an object under ``key`` is given for its attributes, at GCS and Azure."""
    metadata = {}
    if attributes.mtime_ns is not None and (mtime := rfc_3339(attributes.mtime_ns)):
        metadata[MTIME] = mtime
    if attributes.mode is not None:
        metadata[MODE] = mode_text(attributes.mode, key)
    return metadata


def from_metadata(metadata: Mapping[str, str], content_type: str | None) -> Attributes:
    """Attributes of an object's metadata. What can't be read isn't known; it is no error."""
    mode, mtime = metadata.get(MODE, ""), metadata.get(MTIME, "")
    return Attributes(content_type, parsed_mode(mode), parsed_rfc_3339(mtime))


def mode_text(mode: int, key: str) -> str:
    """Permission bits with the type of what ``key`` names, in octal."""
    kind = stat.S_IFDIR if key.endswith("/") else stat.S_IFREG
    return f"{kind | stat.S_IMODE(mode):o}"


def parsed_mode(text: str) -> int | None:
    """Permission bits of a mode in octal, or in decimal as s3fs writes it."""
    for base in (8, 10):
        try:
            mode = int(text, base)
        except ValueError:
            continue
        if mode >= 0 and mode & ~0o7777 in _TYPES:
            return stat.S_IMODE(mode)
    return None


def rfc_3339(mtime_ns: int) -> str:
    """UTC, with as many digits of the second as there are; ``""`` for a year that has no such form."""
    seconds, nanoseconds = divmod(mtime_ns, NANOSECONDS)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    # Not %Y, which writes the year 1 as 1.
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{fraction}Z"


def parsed_rfc_3339(text: str) -> int | None:
    """Nanoseconds since the epoch; ``None`` for what is no time of this form."""
    match = _RFC_3339.fullmatch(text)
    if not match:
        return None
    moment, fraction, zone = match.groups()
    try:
        parsed = datetime.fromisoformat(moment + ("+00:00" if zone in "Zz" else zone))
    except ValueError:
        return None
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    since = parsed - _EPOCH
    return (since.days * 86_400 + since.seconds) * NANOSECONDS + nanoseconds
