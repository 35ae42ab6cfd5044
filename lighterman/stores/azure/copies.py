"""Copies inside an account, done by the service, and in one step: a reader sees the old object or the new one."""

import base64
import secrets
import time
from typing import Final

from lighterman.errors import SourceChangedError
from lighterman.stores import metadata
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.blocks import Block
from lighterman.stores.azure.client import Client
from lighterman.stores.azure.configuration import AzureSettings
from lighterman.stores.azure.uploads import MIB
from lighterman.stores.azure.wire import META, Wire, etag_of
from lighterman.stores.contract import Attributes, ETag, Key, Stat

COPY_LIMIT_BYTES: Final = 256 * MIB
"""Copy Blob From URL takes no more (https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url)."""
COPY_PART_BYTES: Final = 256 * MIB


def keeps_headers(source: Stat, target: Key, attributes: Attributes) -> bool:
    """
    Whether a copy at once gives the target what it is to have: it keeps the source's Content-Type, and all of
    its metadata where none is given.
    """
    same_type = attributes.content_type in (None, source.attributes.content_type)
    return same_type and bool(metadata.to_metadata(attributes, target))


def copy_whole(
    wire: Wire,
    settings: AzureSettings,
    access: Access,
    source: Stat,
    target: Key,
    attributes: Attributes,
) -> ETag:
    fields = metadata.to_metadata(attributes, target)
    answer = wire.call(
        "PUT",
        target,
        headers={
            "x-ms-requires-sync": "true",
            **_source(settings, access, source),
            **{f"{META}{name}": value for name, value in fields.items()},
            **settings.write_headers,
        },
        on_condition=SourceChangedError,
    )
    return etag_of(answer.headers)


def copy_by_parts(
    wire: Wire,
    client: Client,
    settings: AzureSettings,
    access: Access,
    source: Stat,
    target: Key,
    attributes: Attributes,
    *,
    part_bytes: int,
    only_if_absent: bool = False,
    replacing: ETag | None = None,
) -> ETag:
    """As ``copy_whole``, of any size, and under conditions of the target. Blocks of a failed one end after a week."""
    upload = secrets.token_bytes(8)
    names = []
    for number, start in enumerate(range(0, source.size_bytes, part_bytes), start=1):
        end = min(source.size_bytes, start + part_bytes)
        # The name tells that its bytes' sum isn't known.
        name = Block(upload, number, time.time_ns(), b"").name
        wire.call(
            "PUT",
            target,
            # Once more in base64, as the SDK does with the names that it lists.
            {"comp": "block", "blockid": base64.b64encode(name.encode()).decode()},
            {
                "x-ms-source-range": f"bytes={start}-{end - 1}",
                **_source(settings, access, source),
                **settings.scope_headers,
            },
            on_condition=SourceChangedError,
        )
        names.append(name)
    return client.commit(
        target,
        names,
        attributes,
        checksum=source.checksum,
        only_if_absent=only_if_absent,
        replacing=replacing,
    )


def _source(settings: AzureSettings, access: Access, source: Stat) -> dict[str, str]:
    url = settings.url(source.key)
    return {
        **access.source(url, settings.container, source.key, time.time()),
        "x-ms-source-if-match": f'"{source.etag}"',
    }
