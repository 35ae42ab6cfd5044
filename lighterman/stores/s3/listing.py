"""ListObjectsV2, exact to the key: asked for URL-quoted, since XML can't hold every character of a key."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote_plus

from lighterman.errors import ConfigurationError, TransientError
from lighterman.stores.contract import ETag, Key, Listed
from lighterman.stores.s3 import canonical, etags
from lighterman.stores.s3.archives import is_archived

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_PAGE_KEYS: Final = "1000"
_NOT_IN_XML: Final = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:x0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F])|0*(?:[0-8]|1[124-9]|2\d|3[01]));"
)
"""Characters that XML 1.0 has no form for (section 2.2)."""


Ask: TypeAlias = Callable[[Mapping[str, str], Mapping[str, str]], bytes]
"""Sends a GET of the bucket with this query and these headers; gives the answer's body."""


def pages(
    ask: Ask, prefix: str, *, tells_restores: bool, after: str = ""
) -> Iterator[list[Listed]]:
    """
    Every object whose key starts with ``prefix`` and comes after ``after``, a page of up to 1,000 at a time. ``tells_restores`` where
    the store, asked for it, tells in the listing which archived objects were restored: AWS does, others
    may refuse the question.
    """
    query = {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": _PAGE_KEYS,
        "prefix": prefix,
    }
    if after:
        query["start-after"] = after
    headers = {"x-amz-optional-object-attributes": "RestoreStatus"} if tells_restores else {}
    while True:
        page, token = parsed(ask(query, headers))
        yield page
        if not token:
            return
        query["continuation-token"] = token


def parsed(body: bytes) -> tuple[list[Listed], str]:
    """One page of a listing, and the token of the next (``""``: there is none)."""
    page = canonical.read(body)
    if page is None:
        return parsed_as_xml(body)
    truncated = page.fields.get("IsTruncated") == "true"
    return page.objects, page.fields.get("NextContinuationToken", "") if truncated else ""


def parsed_as_xml(body: bytes) -> tuple[list[Listed], str]:
    """The same of any XML, as a tree of elements."""
    root, is_whole = _read(body)
    # The namespace differs from store to store, and some have none.
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    is_quoted = root.findtext(f"{space}EncodingType") == "url"
    if not (is_whole or is_quoted):
        raise ConfigurationError(
            "the store lists a key with control characters in a form that can't be read",
            hint="rename the object; the store doesn't know encoding-type=url",
        )
    page = [_listed(item, space, is_quoted=is_quoted) for item in root.iter(f"{space}Contents")]
    truncated = root.findtext(f"{space}IsTruncated") == "true"
    return page, (root.findtext(f"{space}NextContinuationToken") or "") if truncated else ""


def _read(body: bytes) -> tuple["Element", bool]:
    """The document, and whether it was one: Ceph quotes keys as asked, but not the prefix beside them."""
    from xml.etree import ElementTree as ET

    for text in (body, _NOT_IN_XML.sub(b"?", body)):
        try:
            return ET.fromstring(text), text is body  # noqa: S314  # expat bounds entities since 2.4.1
        except ET.ParseError as error:
            failed = error
    raise TransientError("the store's listing is cut short, or no XML") from failed


def _listed(item: "Element", space: str, *, is_quoted: bool) -> Listed:
    fields = {child.tag.removeprefix(space): child.text or "" for child in item}
    key = unquote_plus(fields["Key"]) if is_quoted else fields["Key"]
    etag = fields.get("ETag", "").strip('"')
    return Listed(
        Key(key),
        int(fields["Size"]),
        ETag(etag),
        datetime.fromisoformat(fields["LastModified"]).timestamp(),
        archived=is_archived(fields.get("StorageClass"), _restored_until(item, space)),
        checksum=etags.checksum_of(etag),
    )


def _restored_until(item: "Element", space: str) -> str | None:
    return item.findtext(f"{space}RestoreStatus/{space}RestoreExpiryDate")
