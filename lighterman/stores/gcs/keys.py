"""Keys in requests: how they are quoted, and which GCS takes for none."""

import re
from typing import Final
from urllib.parse import quote

from lighterman.errors import CannotWriteError

MOST_KEY_BYTES: Final = 1024
_NO_NAME: Final = re.compile(r"\.{1,2}|.*[\r\n].*|\.well-known/acme-challenge/.*", re.DOTALL)
"""https://cloud.google.com/storage/docs/objects#naming"""


def check_name(key: str, connection: str) -> None:
    """``CannotWriteError`` for a key under which GCS takes no object."""
    if _NO_NAME.fullmatch(key):
        why = "with line breaks, '.', '..' or .well-known/acme-challenge/"
    elif len(key.encode("utf-8", "surrogateescape")) > MOST_KEY_BYTES:
        why = f"of more than {MOST_KEY_BYTES} bytes"
    else:
        return
    raise CannotWriteError(
        f"GCS can't keep the key {key!r}: it takes no name {why}",
        hint="rename the file, or leave it out (--exclude)",
        connection=connection,
        key=key,
    )


def quoted(key: str) -> str:
    """A key as one segment of a URL's path."""
    return quote(key, safe="")
