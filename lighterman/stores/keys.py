"""Keys in requests: how they are quoted, which of them obstore would change, and which come after another."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from lighterman.stores.contract import Listed

_CHANGED: Final = re.compile(r"^/|/$|//|(?:^|/)\.{1,2}(?:/|$)|[\x00-\x1f\x7f]")
"""obstore 0.12 drops a slash at either end and refuses the rest."""
_NOT_IN_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def obstore_takes(key: str) -> bool:
    """Whether obstore sends this key as it is."""
    return bool(key) and _CHANGED.search(key) is None


def fits_xml(key: str) -> bool:
    """Whether an XML answer can hold this key: all characters but those that XML 1.0 has no form for."""
    return _NOT_IN_XML.search(key) is None


def quoted(key: str) -> str:
    """A key as it stands in a URL's path, and in what is signed (RFC 3986's unreserved ones and ``/``)."""
    return quote(key, safe="/-._~")


def pages_after(pages: Iterator[list[Listed]], after: str) -> Iterator[list[Listed]]:
    """What of a whole listing comes after ``after``."""
    if not after:
        return pages
    return ([listed for listed in page if listed.key > after] for page in pages)
