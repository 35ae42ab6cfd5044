"""Listings by the JSON API, exact to the key: https://cloud.google.com/storage/docs/json_api/v1/objects/list."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from lighterman.stores.contract import Listed
from lighterman.stores.gcs.resources import LISTED_FIELDS, Page, page_of
from lighterman.stores.gcs.wire import Wire

_FIELDS: Final = f"nextPageToken,items({LISTED_FIELDS})"
_PAGE_KEYS: Final = "1000"


def pages(
    ask: Callable[[dict[str, str]], Page], prefix: str, after: str = ""
) -> Iterator[list[Listed]]:
    """Every object whose key starts with ``prefix`` and comes after ``after``, a page of up to 1,000 at a time, each got by ``ask``."""
    query = {"fields": _FIELDS, "maxResults": _PAGE_KEYS}
    if prefix:
        query["prefix"] = prefix
    if after:
        query["startOffset"] = after
    while True:
        found = ask(query)
        # The object of that very name is listed too.
        yield [item.listed() for item in found.items if item.name != after]
        if not found.next_page_token:
            return
        query["pageToken"] = found.next_page_token


def page(wire: Wire, query: Mapping[str, str]) -> Page:
    """One of them."""
    return page_of(wire.call("GET", f"{wire.bucket_path}/o", query).body)
