"""Copies inside the bucket: whole ones as a thin call, and parts of uploads that are made of an object's bytes."""

import re
from collections.abc import Callable
from typing import Final

from lighterman.errors import SourceChangedError, TransientError
from lighterman.stores.contract import Attributes, ETag, Key, Part, Span
from lighterman.stores.keys import quoted
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.client import Client
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.uploads import bare, of_upload
from lighterman.stores.s3.wire import Wire

_ETAG: Final = re.compile(rb"<ETag>\s*(?:&quot;|&#34;|\")?([^<&\"]+)")
_PLAIN_MD5: Final = re.compile(r"[0-9a-f]{32}")
_NOBODYS: Final = ETag("0" * 32)


class Pins:
    """Whether this store keeps the condition of a copy's source: AWS does, Ceph and moto ignore it."""

    def __init__(self) -> None:
        self._are_kept: bool | None = None

    def are_enough(self, etag: ETag) -> bool:
        """
        Whether an object of this ETag needs no look before it is copied. One that came by parts does: its size
        decides how it is copied.
        """
        return self._are_kept is True and _PLAIN_MD5.fullmatch(etag) is not None

    def copy(
        self,
        wire: Wire,
        settings: S3Settings,
        source: Key,
        etag: ETag,
        target: Key,
        attributes: Attributes,
    ) -> ETag:
        """
        ``copy_plain`` of an object that was just looked at, or whose pin is enough. The first one finds out: it is
        asked for with a pin that no object has, which does no harm where that is ignored.
        """
        if self._are_kept is None:
            try:
                made = copy_plain(wire, settings, source, _NOBODYS, target, attributes)
            except SourceChangedError:
                self._are_kept = True
            else:
                self._are_kept = False
                return made
        return copy_plain(wire, settings, source, etag, target, attributes)


def copy_plain(
    wire: Wire, settings: S3Settings, source: Key, etag: ETag, target: Key, attributes: Attributes
) -> ETag:
    """
    CopyObject, where no parameter of botocore's is wanted: a tenth of its client's processor time.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    headers = {
        "x-amz-copy-source": f"/{settings.bucket}/{quoted(source)}",
        "x-amz-copy-source-if-match": f'"{etag}"',
        "x-amz-metadata-directive": "REPLACE",
        "content-type": attributes.content_type or "binary/octet-stream",
        "content-length": "0",
    }
    for name, value in metadata.to_metadata(attributes, target).items():
        headers[f"x-amz-meta-{name}"] = value
    if settings.storage_class:
        headers["x-amz-storage-class"] = settings.storage_class
    answer = wire.call("PUT", target, headers=headers)
    found = _ETAG.search(answer.body)
    if found is None:  # a copy may fail after its 200 was sent
        failure = failures.from_answer(500, answer.headers, answer.body)
        if failure.code:
            raise failures.explained(settings.place, failure, source)
        raise TransientError(
            f"{settings.endpoint} copied {source!r} without saying what it made",
            connection=settings.connection,
            key=source,
        )
    return ETag(found[1].decode())


def check_unraced(
    made: ETag, source: Key, etag: ETag, now: Callable[[], ETag], connection: str
) -> None:
    """
    Ceph ignores the condition of a copy, so that an upload may have come between the look at the source and
    the copy. Equal sums show that it didn't; of what came by parts or is encrypted, the source's own ETag does.
    """
    if _PLAIN_MD5.fullmatch(etag) and made == etag:
        return
    if now() == etag:
        return
    raise SourceChangedError(
        f"{source!r} was replaced while it was copied", connection=connection, key=source
    )


def copy_part(
    client: Client,
    bucket: str,
    source: Key,
    etag: ETag,
    key: Key,
    upload_id: str,
    number: int,
    span: Span,
) -> Part:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html"""
    answer = of_upload(
        client,
        "UploadPartCopy",
        key,
        {
            "UploadId": upload_id,
            "PartNumber": number,
            "CopySource": {"Bucket": bucket, "Key": source},
            "CopySourceIfMatch": etag,
            "CopySourceRange": f"bytes={span.start}-{span.start + span.size_bytes - 1}",
        },
        on_condition=SourceChangedError,
    )
    return Part(number, bare(answer["CopyPartResult"]["ETag"]), span.size_bytes)
