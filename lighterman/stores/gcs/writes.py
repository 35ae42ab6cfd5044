"""Whole objects by the JSON API: writes that obstore can't express, and copies inside the store."""

import secrets
from collections.abc import Iterator
from functools import partial
from typing import Final

import msgspec

from lighterman.checksums import CRC32C, checksum, of_window
from lighterman.errors import ConditionFailedError, SourceChangedError, TransientError
from lighterman.stores.contract import Attributes, Checksum, ETag, Key, Window
from lighterman.stores.gcs.resources import (
    STAT_FIELDS,
    Resource,
    base64_of,
    properties,
    resource_of,
    rewrite_of,
)
from lighterman.stores.gcs.settings import GcsSettings
from lighterman.stores.gcs.wire import JSON, Wire
from lighterman.stores.windows import CHUNK_BYTES, WindowBody

COPIED_BYTES: Final = 1 << 40
"""What one call of a rewrite may copy: it ends a call by itself when that takes too long."""


def pieces(window: Window) -> Iterator[bytes]:
    """A window's bytes for a body, in pieces that urllib3 sends as they are."""
    body = WindowBody(window)
    while data := body.read(CHUNK_BYTES):
        yield data


def put(
    wire: Wire,
    settings: GcsSettings,
    key: Key,
    window: Window,
    attributes: Attributes,
    *,
    only_if_absent: bool,
    replacing: ETag | None,
) -> ETag:
    """
    As the store's ``write``: metadata, CRC32C and bytes in one request
    (https://cloud.google.com/storage/docs/uploading-objects#rest-upload-objects, multipart).
    """
    digits = of_window(CRC32C, window)
    resource = properties(attributes, key, settings.storage_class)
    told = msgspec.json.encode({"name": key, "crc32c": base64_of(digits), **resource})
    boundary = secrets.token_hex(16)
    head = (
        f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n".encode()
        + told
        + f"\r\n--{boundary}\r\ncontent-type: {resource['contentType']}\r\n\r\n".encode()
    )
    tail = f"\r\n--{boundary}--\r\n".encode()

    def body() -> Iterator[bytes]:
        yield head
        yield from pieces(window)
        yield tail

    query = {"uploadType": "multipart", "fields": STAT_FIELDS}
    if settings.acl:
        query["predefinedAcl"] = settings.acl
    if settings.kms_key:
        query["kmsKeyName"] = settings.kms_key
    query |= condition(only_if_absent=only_if_absent, replacing=replacing)
    answer = wire.call(
        "POST",
        f"/upload{wire.bucket_path}/o",
        query,
        key=key,
        headers={
            "content-type": f"multipart/related; boundary={boundary}",
            "content-length": str(len(head) + window.size_bytes + len(tail)),
        },
        body=body,
        on_condition=ConditionFailedError,
    )
    made = resource_of(answer.body)
    check(settings, key, made, window.size_bytes, checksum(CRC32C, digits))
    return ETag(made.generation)


def copy(
    wire: Wire,
    settings: GcsSettings,
    source: Key,
    etag: ETag,
    target: Key,
    attributes: Attributes,
    *,
    only_if_absent: bool,
    replacing: ETag | None,
) -> ETag:
    """
    As the store's ``copy``, in as many calls as it takes
    (https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite).
    """
    query = {
        "ifSourceGenerationMatch": etag,
        "maxBytesRewrittenPerCall": str(COPIED_BYTES),
        "fields": f"done,rewriteToken,resource({STAT_FIELDS})",
        **condition(only_if_absent=only_if_absent, replacing=replacing),
    }
    if settings.acl:
        query["destinationPredefinedAcl"] = settings.acl
    if settings.kms_key:
        query["destinationKmsKeyName"] = settings.kms_key
    told = msgspec.json.encode(properties(attributes, target, settings.storage_class))
    path = f"{wire.path_of(source)}/rewriteTo{wire.path_of(target).removeprefix('/storage/v1')}"
    while True:
        try:
            answer = wire.call(
                "POST", path, query, key=source, headers=JSON, body=partial(bytes, told)
            )
        except SourceChangedError as error:
            # One answer for either condition: which of them it was, the source tells.
            conditional = only_if_absent or replacing is not None
            if not conditional or _generation(wire, source) != etag:
                raise
            raise ConditionFailedError(
                f"{target!r} is not in the state that was expected",
                connection=settings.connection,
                key=target,
            ) from error
        step = rewrite_of(answer.body)
        if step.done and step.resource:
            return ETag(step.resource.generation)
        if not step.rewrite_token:
            raise TransientError(
                f"{settings.endpoint} copied {source!r} without saying what it made",
                connection=settings.connection,
                key=source,
            )
        query["rewriteToken"] = step.rewrite_token


def _generation(wire: Wire, key: Key) -> str:
    query = {"fields": STAT_FIELDS}
    return resource_of(wire.call("GET", wire.path_of(key), query, key=key).body).generation


def condition(*, only_if_absent: bool, replacing: ETag | None) -> dict[str, str]:
    """What a call that makes an object is told to expect in its place."""
    if replacing is not None:
        return {"ifGenerationMatch": replacing}
    return {"ifGenerationMatch": "0"} if only_if_absent else {}


def check(
    settings: GcsSettings, key: Key, made: Resource, size_bytes: int, expected: Checksum | None
) -> None:
    """``TransientError`` where the store says that it has other bytes than it was sent."""
    is_other = expected and made.checksum and made.checksum != expected
    if int(made.size) != size_bytes or is_other:
        raise TransientError(
            f"{settings.endpoint} has other bytes of {key!r} than it was sent",
            connection=settings.connection,
            key=key,
        )
