"""Keys that Azure doesn't keep as they are."""

import re
from typing import Final

from lighterman.errors import CannotWriteError

MOST_CHARACTERS: Final = 1024
_CHANGED: Final = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]|\.(?:/|$)")
"""
Control characters are refused by the service, a backslash becomes a slash, and a dot at the end of a segment
(so ``.`` and ``..`` too) is lost: "Naming and referencing containers, blobs, and metadata", and what rclone's
azureblob backend replaces for that reason.
"""


def check_writable(key: str, connection: str) -> None:
    """``CannotWriteError`` for a key under which the service would make another object, or none."""
    if not _CHANGED.search(key) and 0 < len(key) <= MOST_CHARACTERS:
        return
    raise CannotWriteError(
        f"Azure can't keep the key {key!r}",
        hint="rename the file: no control characters, no backslash, no dot at the end of a name,"
        f" {MOST_CHARACTERS} characters in all",
        connection=connection,
        key=key,
    )
