"""
The two requests around the parts of an upload, without botocore's client, whose loading takes longer than a file of
a gigabyte. For connections whose parameters have a form of header fields (``kwargs.write_fields``).
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape, unescape

from lighterman.errors import (
    ConditionFailedError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.contract import Attributes, ETag, Key, Part
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.wire import Wire

_UPLOAD_ID: Final = re.compile(rb"<UploadId>\s*([^<\s]+)\s*</UploadId>")
_ETAG: Final = re.compile(rb"<ETag>\s*([^<]*?)\s*</ETag>")
_ERROR: Final = re.compile(rb"\s*(?:<\?xml[^>]*\?>)?\s*<Error[\s>]")
_ENTITIES: Final = {"&quot;": '"', "&#34;": '"'}


def begin(
    wire: Wire, settings: S3Settings, fields: Mapping[str, str], key: Key, attributes: Attributes
) -> str:
    """The id of a new upload. ``fields`` are those of ``kwargs.write_fields``."""
    told = metadata.to_metadata(attributes, key).items()
    headers = {**fields, **{f"x-amz-meta-{name}": value for name, value in told}}
    if attributes.content_type:
        headers["content-type"] = attributes.content_type
    body = wire.call("POST", key, {"uploads": ""}, headers).body
    found = _UPLOAD_ID.search(body)
    if found is None:
        raise TransientError(
            f"{settings.endpoint} began an upload and told no id",
            connection=settings.connection,
            key=key,
        )
    return unescape(found[1].decode("utf-8", "replace"), _ENTITIES)


def finish(
    wire: Wire,
    settings: S3Settings,
    key: Key,
    upload_id: str,
    parts: list[Part],
    *,
    only_if_absent: bool,
) -> ETag:
    """The object's ETag; ``""`` where the store doesn't tell it here (Ceph)."""
    listed = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag></Part>"
        for part in sorted(parts)
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    text = f'<CompleteMultipartUpload xmlns="{space}">{listed}</CompleteMultipartUpload>'
    headers = {"content-type": "application/xml"} | (
        {"if-none-match": "*"} if only_if_absent else {}
    )
    try:
        answer = wire.call(
            "POST",
            key,
            {"uploadId": upload_id},
            headers,
            body=text.encode(),
            on_condition=ConditionFailedError,
        )
        if _ERROR.match(answer.body):
            # The status was sent before the end of the work was known (API reference, CompleteMultipartUpload).
            failure = failures.from_answer(500, answer.headers, answer.body)
            raise failures.explained(settings.place, failure, key)
    except SourceMissingError as error:  # as Ceph says it
        raise UploadMissingError(
            f"the store knows no such upload of {key!r}", connection=error.connection, key=key
        ) from error
    found = _ETAG.search(answer.body)
    etag = unescape(found[1].decode("utf-8", "replace"), _ENTITIES) if found else ""
    return ETag(etag.strip('"'))
