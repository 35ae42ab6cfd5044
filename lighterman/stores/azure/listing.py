"""
List Blobs, exact to the key. The service quotes a name that XML can't hold, and says so.

Directories of a hierarchical namespace, and the stubs that Hadoop's driver leaves for them, are no objects:
empty blobs that bear a directory's name without a slash (``hdi_isfolder``). They are left out; with them
every directory would be a file in the way of the objects below it.
"""

from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from lighterman.errors import TransientError
from lighterman.stores.azure.wire import checksum_of
from lighterman.stores.contract import ETag, Key, Listed
from lighterman.stores.keys import fits_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Ask = Callable[[Mapping[str, str]], bytes]
"""Asks the container with a query; gives the answer's body."""

PAGE_KEYS: Final = "1000"
ARCHIVE: Final = "Archive"
FOLDER: Final = "hdi_isfolder"


def pages(ask: Ask, prefix: str) -> Iterator[list[Listed]]:
    """Every object whose key starts with ``prefix``, a page of up to 1,000 at a time."""
    for root in _answers(ask, prefix, "metadata"):
        yield [_listed(blob) for blob in root.iter("Blob") if not _is_directory(blob)]


def uncommitted(ask: Ask, prefix: str) -> Iterator[Key]:
    """Keys below ``prefix`` that have blocks, and no object yet."""
    for root in _answers(ask, prefix, "uncommittedblobs"):
        for blob in root.iter("Blob"):
            # Every object has a Content-Type; what was never committed has none.
            if not blob.findtext("Properties/Content-Type"):
                yield _key(blob)


def _answers(ask: Ask, prefix: str, include: str) -> "Iterator[Element]":
    if not fits_xml(prefix):
        return  # the service has no such keys, and refuses the question
    query = {
        "restype": "container",
        "comp": "list",
        "maxresults": PAGE_KEYS,
        "include": include,
    }
    if prefix:
        query["prefix"] = prefix
    while True:
        root = _read(ask(query))
        yield root
        marker = root.findtext("NextMarker")
        if not marker:
            return
        query["marker"] = marker


def _read(body: bytes) -> "Element":
    from xml.etree import ElementTree as ET

    try:
        return ET.fromstring(body)  # noqa: S314  # expat bounds entities since 2.4.1
    except ET.ParseError as error:
        raise TransientError("the store's listing is cut short, or no XML") from error


def _listed(blob: "Element") -> Listed:
    found = blob.find("Properties")
    fields = {child.tag: child.text or "" for child in found} if found is not None else {}
    return Listed(
        _key(blob),
        int(fields.get("Content-Length", "0")),
        ETag(fields.get("Etag", "").strip('"')),
        parsedate_to_datetime(fields["Last-Modified"]).timestamp(),
        archived=fields.get("AccessTier") == ARCHIVE,
        checksum=checksum_of(fields.get("Content-MD5")),
    )


def _key(blob: "Element") -> Key:
    name = blob.find("Name")
    text = (name.text or "") if name is not None else ""
    is_quoted = name is not None and name.get("Encoded") == "true"
    return Key(unquote(text) if is_quoted else text)


def _is_directory(blob: "Element") -> bool:
    if blob.findtext("Properties/ResourceType") == "directory":
        return True
    metadata = blob.find("Metadata")
    if metadata is None or not len(metadata):
        return False
    return any(
        item.tag.lower() == FOLDER and (item.text or "").lower() == "true" for item in metadata
    )
