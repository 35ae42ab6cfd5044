"""Uploads by parts, and copies inside the store, through botocore's client."""

import math
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from lighterman.errors import (
    CannotWriteError,
    ConditionFailedError,
    LightermanError,
    SourceMissingError,
    UploadMissingError,
)
from lighterman.stores.contract import (
    Attributes,
    ETag,
    Key,
    OpenUpload,
    Part,
    UploadLimits,
    Window,
)
from lighterman.stores.keys import fits_xml
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3.client import Client
from lighterman.stores.windows import WindowBody

MIB: Final = 1024 * 1024
LIMITS: Final = UploadLimits(5 * MIB, 5 * 1024 * MIB, 10_000)
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
_FEWER_PARTS: Final = {".scw.cloud": 1_000}
"""Stores that take fewer: https://www.scaleway.com/en/docs/object-storage/api-cli/multipart-uploads/"""
COPY_LIMIT_BYTES: Final = 5 * 1024 * MIB
"""CopyObject takes no more (API reference, CopyObject); above it the copy goes by parts."""
COPY_PART_BYTES: Final = 512 * MIB


def limits_at(endpoint: str) -> UploadLimits:
    """The limits of whoever answers at that endpoint."""
    host = urlsplit(endpoint).hostname or ""
    parts = next((n for end, n in _FEWER_PARTS.items() if host.endswith(end)), LIMITS.most_parts)
    return LIMITS._replace(most_parts=parts)


def object_parameters(attributes: Attributes, key: str) -> dict[str, Any]:
    """What a call that makes an object is told of its attributes."""
    parameters: dict[str, Any] = {"Metadata": metadata.to_metadata(attributes, key)}
    if attributes.content_type:
        parameters["ContentType"] = attributes.content_type
    return parameters


def begin(client: Client, key: Key, attributes: Attributes) -> str:
    if not fits_xml(key):  # the answer repeats the key, and botocore can't read it then
        raise CannotWriteError(
            f"{key!r} has control characters: S3 takes no such key by parts",
            hint="rename the file",
            key=key,
        )
    answer = client.call("CreateMultipartUpload", key, object_parameters(attributes, key))
    return str(answer["UploadId"])


def send_part(client: Client, key: Key, upload_id: str, number: int, window: Window) -> Part:
    answer = of_upload(
        client,
        "UploadPart",
        key,
        {
            "UploadId": upload_id,
            "PartNumber": number,
            "Body": WindowBody(window),
            "ContentLength": window.size_bytes,
        },
    )
    return Part(number, bare(answer["ETag"]), window.size_bytes)


def sent_parts(client: Client, key: Key, upload_id: str) -> list[Part]:
    parts: list[Part] = []
    marker = 0
    while True:
        query = {"UploadId": upload_id, "PartNumberMarker": marker}
        answer = of_upload(client, "ListParts", key, query)
        parts += [
            Part(part["PartNumber"], bare(part["ETag"]), part["Size"])
            for part in answer.get("Parts", ())
        ]
        if not answer.get("IsTruncated"):
            return parts
        marker = answer["NextPartNumberMarker"]


def finish(
    client: Client,
    key: Key,
    upload_id: str,
    parts: list[Part],
    *,
    only_if_absent: bool = False,
    replacing: ETag | None = None,
) -> ETag:
    """The object's ETag; ``""`` where the store doesn't tell it here (Ceph)."""
    listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in sorted(parts)]
    answer = of_upload(
        client,
        "CompleteMultipartUpload",
        key,
        {
            "UploadId": upload_id,
            "MultipartUpload": {"Parts": listed},
            **_condition(only_if_absent=only_if_absent, replacing=replacing),
        },
    )
    return bare(answer.get("ETag") or "")


def abandon(client: Client, key: Key, upload_id: str) -> None:
    try:
        client.call("AbortMultipartUpload", key, {"UploadId": upload_id})
    except (UploadMissingError, SourceMissingError):
        return


def open_uploads(client: Client, prefix: str) -> list[OpenUpload]:
    # Not asked for with encoding-type: Ceph quotes then without saying so. Keys that only a quoted answer
    # could hold are not begun by parts.
    found: list[OpenUpload] = []
    markers: dict[str, str] = {}
    while True:
        answer = client.call("ListMultipartUploads", None, {"Prefix": prefix, **markers})
        found += [
            OpenUpload(Key(upload["Key"]), upload["UploadId"], upload["Initiated"].timestamp())
            for upload in answer.get("Uploads", ())
        ]
        if not answer.get("IsTruncated"):
            return found
        markers = {
            "KeyMarker": answer["NextKeyMarker"],
            "UploadIdMarker": answer["NextUploadIdMarker"],
        }


def put(
    client: Client,
    key: Key,
    window: Window,
    attributes: Attributes,
    *,
    only_if_absent: bool,
    replacing: ETag | None,
) -> ETag:
    parameters = object_parameters(attributes, key)
    parameters |= {"Body": WindowBody(window), "ContentLength": window.size_bytes}
    parameters |= _condition(only_if_absent=only_if_absent, replacing=replacing)
    answer = client.call("PutObject", key, parameters, on_condition=ConditionFailedError)
    return bare(answer["ETag"])


def copy_whole(
    client: Client, bucket: str, source: Key, etag: ETag, target: Key, attributes: Attributes
) -> ETag:
    answer = client.call(
        "CopyObject",
        target,
        {
            "CopySource": {"Bucket": bucket, "Key": source},
            "CopySourceIfMatch": etag,
            "MetadataDirective": "REPLACE",
            **object_parameters(attributes, target),
        },
    )
    return bare(answer["CopyObjectResult"]["ETag"])


def copy_by_parts(
    client: Client,
    bucket: str,
    source: Key,
    etag: ETag,
    target: Key,
    attributes: Attributes,
    *,
    size_bytes: int,
    part_bytes: int,
    look: Callable[[], object],
    only_if_absent: bool = False,
    replacing: ETag | None = None,
) -> ETag:
    """
    As ``copy_whole``, above its limit, or under conditions of the target, which stores keep for uploads longer than
    for copies. ``look`` raises where the source is another object by now. An upload that fails is abandoned.
    """
    part_bytes = max(part_bytes, math.ceil(size_bytes / LIMITS.most_parts))
    upload_id = begin(client, target, attributes)
    try:
        parts = []
        for number, start in enumerate(range(0, size_bytes, part_bytes), start=1):
            end = min(size_bytes, start + part_bytes)
            answer = client.call(
                "UploadPartCopy",
                target,
                {
                    "UploadId": upload_id,
                    "PartNumber": number,
                    "CopySource": {"Bucket": bucket, "Key": source},
                    "CopySourceIfMatch": etag,
                    "CopySourceRange": f"bytes={start}-{end - 1}",
                },
            )
            parts.append(Part(number, bare(answer["CopyPartResult"]["ETag"]), end - start))
        look()  # some stores ignore the pin of a part
        return finish(
            client, target, upload_id, parts, only_if_absent=only_if_absent, replacing=replacing
        )
    except LightermanError:
        abandon(client, target, upload_id)
        raise


def _condition(*, only_if_absent: bool, replacing: ETag | None) -> dict[str, str]:
    if replacing is not None:
        return {"IfMatch": replacing}  # without quotes: AWS takes both, Ceph only this
    return {"IfNoneMatch": "*"} if only_if_absent else {}


def of_upload(
    client: Client,
    operation: str,
    key: Key,
    parameters: dict[str, Any],
    *,
    on_condition: type[LightermanError] = ConditionFailedError,
) -> dict[str, Any]:
    """A call that concerns an open upload: ``UploadMissingError`` where the store knows none."""
    try:
        return client.call(operation, key, parameters, on_condition=on_condition)
    except SourceMissingError as error:  # as Ceph says it
        raise UploadMissingError(
            f"the store knows no such upload of {key!r}", connection=error.connection, key=key
        ) from error


def bare(etag: str) -> ETag:
    """An ETag without its quotes."""
    return ETag(etag.strip('"'))
